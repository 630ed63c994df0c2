"""What a chapter's notebook needs to run: its parameters checked, its device settled, a folder for its records."""

import os
import sys
import time
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from IPython.display import Markdown, display

from helpers.book import figures, sources
from helpers.book.parameters import parameters, table, validate
from helpers.networks import numerics
from helpers.networks.cache import digest


@dataclass
class Run:
    """What a chapter knows of its own run. `device` is a torch.device, `folder` takes its records."""

    chapter: str
    profile: str
    parameters: dict[str, Any]
    device: Any
    folder: Path
    sources: str
    threads: int
    started: float = field(default_factory=time.monotonic)


def begin(chapter: str, namespace: dict) -> Run:
    """Check a chapter's parameters, found in its namespace; settle device, threads and style; print the table.

    Raises ValueError naming the parameter, its value, and what was expected; in a notebook it is told in one line.
    """
    try:
        values, device = _settled(chapter, namespace)
    except ValueError as refusal:
        told = [f"ValueError: {refusal}"]
        refusal._render_traceback_ = lambda: told  # asked for by IPython; where it was raised helps nobody
        raise
    namespace.update(values)  # an int given for a float is a float from here on
    threads = int(os.environ.get("LAYERS_THREADS", "1"))
    torch.set_num_threads(threads)  # results depend on the number; two processes of one thread are fastest
    figures.style()
    profile = os.environ.get("LAYERS_PROFILE", "custom")
    folder = Path(os.environ.get("LAYERS_RUN") or _own_folder(chapter, values))
    display(Markdown(table(chapter, values)))
    return Run(chapter, profile, values, device, folder, sources.measuring(chapter), threads)


def _settled(chapter: str, namespace: dict) -> tuple[dict[str, Any], torch.device]:
    names = [parameter.name for parameter in parameters(chapter)]
    if missing := [name for name in names if name not in namespace]:
        raise ValueError(f"{missing[0]}: not defined; run the parameters cell first")
    values = validate(chapter, {name: namespace[name] for name in names})
    return values, numerics.device(values.get("device", "auto"))


def _own_folder(chapter: str, values: dict[str, Any]) -> Path:
    """Where a run keeps its records that the runner did not start: no two processes, and no two values, share it."""
    folder = sources.runs() / chapter / f"custom-{digest(values)[:8]}-{_process()}"
    print(f"{chapter}: records go to {folder}", file=sys.stderr)
    return folder


@cache
def _process() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
