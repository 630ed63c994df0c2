"""Instruments of the book *Layer by Layer*: data, networks, and measurements of what layers do to images.

Importing this package makes torchvision importable beside a torch without CUDA; nothing else happens here.
"""

import importlib.util
from pathlib import Path

import torch


def _declare_missing_operators() -> torch.library.Library | None:
    """Declare the two operators that torchvision's import needs where its compiled library cannot be loaded.

    torchvision's wheel is linked against CUDA. Beside a torch without CUDA its library does not load, and
    `import torchvision` stops with "operator torchvision::nms does not exist". Neither operator is ever called here.
    """
    found = importlib.util.find_spec("torchvision")
    if torch.version.cuda is not None or found is None:
        return None
    compiled = [file for file in Path(found.origin).parent.glob("_C.*") if file.suffix in (".so", ".pyd")]
    try:
        for file in compiled:
            torch.ops.load_library(file)  # what torchvision's own import does: then the real operators are there
    except OSError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library  # the operators live as long as this object
    return None


_operators = _declare_missing_operators()
