"""What the cells tagged `told` say of the records: said again from these alone, and compared with the page."""

import io
import re
from collections.abc import Mapping
from contextlib import redirect_stdout
from types import SimpleNamespace
from unittest import mock

import matplotlib.pyplot as plt
import nbformat
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure

from helpers import book
from helpers.book import runner, sources
from helpers.book.flow import leading_to

PREFIX = "application/papermill.record/"
GLUED = re.compile(r"\{glue(?::\w+)?\}(?:`([^`:]+)|[ \t]+([\w.-]+))")  # as a role, or as a directive


def mistakes(chapter: str) -> list[str]:
    """What is wrong with what a chapter tells of its records, a line for each."""
    said, failure = glued(chapter)
    if failure:
        return [failure]
    page = {name: words for name, words in on_page(chapter).items() if name in said}
    found = [f"{name}: the page says {page[name]}, the records {words}: run it again"
             for name, words in said.items() if page.get(name, words) != words]  # fmt: skip
    return found + _untold(chapter, set(said))


def glued(chapter: str) -> tuple[dict[str, str], str]:
    """What the cells tagged `told` glue, {name: text}, and what kept them from it, or nothing.

    They run with the cells that they need, without the parameters, and with a stub in place of the run: nothing live is
    within reach.
    """
    known = sources.cells(chapter, without=("parameters",))
    tags = {cell.id: cell.metadata.get("tags", ()) for cell in sources.notebook(chapter).cells}
    nowhere = sources.root() / "_build" / "nowhere"
    run = SimpleNamespace(chapter=chapter, profile="laptop", folder=nowhere)
    found, names = {}, {"__name__": "__main__"}
    live = {"begin": lambda *_: run, "glue": lambda name, value: found.update({name: _text(value)})}
    with mock.patch.multiple(book, **live), mock.patch.object(sources, "runs", lambda: nowhere), redirect_stdout(io.StringIO()):
        for name, text in leading_to(known, [name for name in known if "told" in tags[name]]).items():
            try:
                exec(compile(text, name, "exec"), names)
            except Exception as error:
                return found, f"cell {name}: cannot tell from the records alone: {type(error).__name__}: {error}"
    return found, ""


def on_page(chapter: str) -> dict[str, str]:
    """What the chapter's laptop run has glued as text, {name: text}; {} where there is none."""
    path = runner.place(chapter, "laptop") / "notebook.ipynb"
    if not path.exists():
        return {}
    cells = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", ()) if "scrapbook" in output.get("metadata", {})]
    return {output.metadata["scrapbook"]["name"]: _words(output.data) for output in outputs}


def _text(value) -> str:
    data, _ = DisplayFormatter().format(value)
    if isinstance(value, Figure):
        plt.close(value)
        data["image/png"] = ""  # drawn elsewhere: only that it is a picture is compared
    return _words({PREFIX + kind: content for kind, content in data.items()})


def _words(data: Mapping[str, str]) -> str:
    """What is glued as a reader sees it: its Markdown if it has any, or else plain text."""
    if any(kind.startswith(f"{PREFIX}image/") for kind in data):
        return "a picture"
    return str(data.get(f"{PREFIX}text/markdown", data.get(f"{PREFIX}text/plain", "")))


def _untold(chapter: str, told: set[str]) -> list[str]:
    """Cells that speak of the record without the tag `result`, by which they are folded where a run is another."""
    found = []
    for cell in sources.notebook(chapter).cells:
        used = {role or directive for role, directive in GLUED.findall(cell.source)} & told
        if cell.cell_type == "markdown" and used and "result" not in cell.metadata.get("tags", ()):
            found.append(f"cell {cell.id}: tells of the record ({', '.join(sorted(used))}): expected the tag 'result'")
    return found
