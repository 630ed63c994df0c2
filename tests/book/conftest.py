"""Small books to run, and the style in which figures are drawn."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
from IPython.core.interactiveshell import InteractiveShell
from small_book import FRAGILE, code, command, environment, prose, tiny, write_chapter

from helpers.book import figures


@pytest.fixture
def styled():
    """As a chapter draws; and nothing of it is left."""
    with plt.rc_context():
        figures.style()
        yield
    plt.close("all")
    InteractiveShell.clear_instance()


@pytest.fixture(scope="session")
def root(tmp_path_factory):
    """A book of two chapters: `tiny` measures, `fragile` does what mode.txt says; both run once."""
    root = tmp_path_factory.mktemp("root")
    tiny(root)
    write_chapter(root, "fragile", [prose("title", "# Fragile"), code("act", FRAGILE), code("parameters", "", "parameters")])
    (root / "mode.txt").write_text("fine")
    (root / "book" / "profiles" / "smoke").mkdir(parents=True)
    (root / "book" / "profiles" / "smoke" / "tiny.yml").write_text("seeds: [5]\n")
    (root / "book" / "intro.md").write_text("# Intro\n")
    (root / "_config.yml").write_text('title: T\nexecute:\n  execute_notebooks: "off"\nonly_build_toc_files: true\n')
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\nchapters:\n  - file: book/tiny\n  - file: book/fragile\n")
    for chapter in ("tiny", "fragile"):
        done = command(root, "run", chapter)
        assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def here(root, monkeypatch):
    """The same book, for calls in this process."""
    for name, value in environment(root).items():
        monkeypatch.setenv(name, value)
    return root


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """A book of its own with `tiny` in it, not run."""
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    tiny(tmp_path)
    return tmp_path
