"""Every chapter on the pretend accelerator, cells run in this process, smoke profile: no tensor is forgotten."""

import linecache
import sys
from types import ModuleType

import jaxtyping
import matplotlib
import matplotlib.pyplot as plt
import pytest

from helpers.book import parameters, sources

CHAPTERS = [chapter for chapter in sources.chapters() if chapter != "scorecard"]

# A pretence costs time for every operation: even less than the smoke profile, where one more network shows nothing new.
SMALLER = {
    "depth": {"seeds": [100], "models": ["resnet8-w4"], "deeper": "vgg8-w4", "images": 4, "steps": 2},
    "paths": {"models": ["vgg8", "mlp2"], "course": [0.0, 1.0]},
}


def cells(chapter, changes):
    """The code cells by id, as papermill would run them: what a profile changes comes after the parameters."""
    for cell in sources.notebook(chapter).cells:
        if cell.cell_type == "code":
            yield cell.id, cell.source
            if "parameters" in cell.metadata.get("tags", ()):
                yield "injected-parameters", "\n".join(f"{name} = {value!r}" for name, value in changes.items())


def executed(chapter, changes, patch):
    """What a notebook's cells leave behind, run one after another; AssertionError names one that fails."""
    kernel = ModuleType(f"notebook_{chapter}")
    patch.setitem(sys.modules, kernel.__name__, kernel)
    for name, code in cells(chapter, changes):
        file = f"<{chapter}: {name}>"
        patch.setitem(linecache.cache, file, (len(code), None, code.splitlines(keepends=True), file))  # for inspect
        try:
            exec(compile(code, file, "exec"), vars(kernel))
        except Exception as error:
            raise AssertionError(f"{chapter}: cell {name}: {type(error).__name__}: {error}") from error
        finally:
            plt.close("all")
    return kernel


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # as in a kernel: numpy's, of how torch hands it a tensor
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_chapter_runs_on_an_accelerator(chapter, accelerator, tmp_path, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # no types are checked in a kernel
    for name, value in {"PROFILE": "smoke", "RUN": tmp_path / "run", "CACHE": tmp_path / "cache"}.items():
        monkeypatch.setenv(f"LAYERS_{name}", str(value))
    changes = parameters.resolve(chapter, "smoke") | {"device": "auto"} | SMALLER.get(chapter, {})
    notebook = executed(chapter, changes, monkeypatch)
    assert notebook.run.device == accelerator
