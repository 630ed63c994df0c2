"""A finished run as one HTML file that needs nothing beside it."""

import json
import tempfile
from pathlib import Path

import yaml
from nbformat.v4 import new_markdown_cell

from helpers.book import inlining, records, runner, site, sources
from helpers.book.standing import Ran
from helpers.networks.cache import write

TO_OTHER_PAGES = ["ref", "myst.xref_missing", "bibtex"]  # warnings about links that become plain text


def page(chapter: str, profile: str | None = None, changes: dict | None = None) -> Path:
    """The page of a finished run, in one file: `_build/pages/CHAPTER-RUN.html`. Nothing is run.

    Args:
        chapter: by name.
        profile: that of the run; laptop where only changes are given. With neither, the chapter's newest run.
        changes: parameters and their values, as `runner.run` takes them.

    Raises ValueError if there is no such run, or if it is out of date, and site.BuildFailed.
    """
    run = _newest(chapter) if profile is None and not changes else _named(chapter, profile or "laptop", changes)
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder) / "stage"
        for name, content in _files(run).items():
            write(staged / name, content)
        if not site.sphinx(staged, Path(folder), "-q", LAYERS_REPOSITORY=""):
            raise site.BuildFailed("the page was not built: see the warnings above")
        text = inlining.inlined(Path(folder) / "_build" / "html" / "book" / f"{chapter}.html")
    return write(sources.root() / "_build" / "pages" / f"{chapter}-{run.folder.name}.html", text)


def _newest(chapter: str) -> Ran:
    """The chapter's run that finished last."""
    if not (folders := runner.finished_runs(chapter)):
        raise ValueError(f"{chapter}: expected a finished run, found none; first: {_command(chapter)}")
    said = runner.summary(folders[-1])
    return _named(chapter, said["profile"], said["changes"])


def _named(chapter: str, profile: str, changes: dict | None) -> Ran:
    own = runner.changes(chapter, profile, changes)
    run = site.ran(chapter, profile, own)
    if not runner.finished(run.folder, runner.key(chapter, profile, own)):
        found = "out of date" if (run.folder / "run.json").exists() else "missing"
        raise ValueError(f"{chapter}: the {run.folder.name} run is {found}; first: {_command(chapter, profile, own)}")
    return run


def _command(chapter: str, profile: str = "laptop", changes: dict | None = None) -> str:
    """What makes a run."""
    options = [] if profile == "laptop" else [f"--profile {profile}"]
    options += [f"-p {name} '{json.dumps(value)}'" for name, value in (changes or {}).items()]
    return " ".join(["python -m helpers run", chapter, *options])


def _files(run: Ran) -> dict[str, bytes]:
    """A book of this chapter alone, {path: content}; its records, and those it reads, lie beside it."""
    config = yaml.safe_load((sources.root() / "_config.yml").read_text(encoding="utf-8"))
    settings = config.setdefault("sphinx", {}).setdefault("config", {})
    settings["suppress_warnings"] = [*settings.get("suppress_warnings", []), *TO_OTHER_PAGES]
    settings["html_context"] = settings.get("html_context", {}) | {"default_mode": "auto"}  # no mode is stored for a file
    shared = {name: content for name, content in site.shared().items() if not name.endswith(".md")}
    content = site.executed(run.chapter, run.profile, runner.changes(run.chapter, run.profile, run.parameters))
    if config.get("bibtex_bibfiles") and any("{cite" in cell.source for cell in content.cells):
        content.cells.append(new_markdown_cell("## References\n\n```{bibliography}\n:filter: docname in docnames\n```"))
    files = shared | site.chapter_files(content, run)
    for other in runner.after(run.chapter):
        for name, of in {"live": run.profile, **{f"records/{each}": each for each in records.RECORDED}}.items():
            files |= site.downloads(other, of, f"book/{name}/{other}")
    return files | {
        "_config.yml": yaml.safe_dump(config).encode(),
        "_toc.yml": f"format: jb-book\nroot: book/{run.chapter}\n".encode(),
    }
