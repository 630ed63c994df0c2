"""From finished runs to the site."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output
from small_book import code, tiny, write_chapter

from helpers.__main__ import main
from helpers.book import runner, site


def test_outputs_are_staged_into_the_notebook_as_it_reads_now(here):
    staged = site.stage()
    page = nbformat.read(staged / "book" / "tiny.ipynb", as_version=4)
    cells = {cell.id: cell for cell in page.cells}
    assert cells["talk"].outputs == [new_output("stream", name="stdout", text="one\ntwo .\n")]
    assert "**Live** · laptop profile · CPU" in cells["show"].outputs[0].text
    assert (staged / "book" / "live" / "tiny" / "values.csv").read_text() == "seed,value\n0,0.0\n1,1.0\n"
    times = {path: path.stat().st_mtime_ns for path in staged.rglob("*") if path.is_file()}
    (staged / "book" / "gone.md").write_text("# Gone\n")
    tiny(here, text="Other prose.")
    site.stage()
    changed = {path for path in staged.rglob("*") if path.is_file() and times.get(path) != path.stat().st_mtime_ns}
    assert changed == {staged / "book" / "tiny.ipynb"}
    assert "Other prose." in (staged / "book" / "tiny.ipynb").read_text()
    tiny(here, measure="1")
    with pytest.raises(site.BuildFailed, match="tiny: its laptop run is missing or out of date"):
        site.stage()
    tiny(here)


def test_a_build_that_warns_fails_and_fails_again(here, capfd):
    intro = here / "book" / "intro.md"
    assert main(["build"]) == 0
    assert Path(capfd.readouterr().out.strip().splitlines()[-1]) == here.resolve() / "_build" / "html"
    assert (here / "_build" / "html" / "index.html").exists()
    intro.write_text("# Intro\n\n{ref}`nowhere`\n")
    for _ in range(2):
        assert main(["build"]) == 1
        assert "undefined label" in capfd.readouterr().err
    intro.write_text("# Intro\n")


def test_chapters_run_after_those_they_read_and_failures_are_told(fresh, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(runner, "run", lambda chapter, profile: ran.append(chapter))
    write_chapter(fresh, "again", [code("parameters", "", "parameters")], after=["tiny"])
    site.run_all("laptop")
    assert ran == ["tiny", "again"]
    write_chapter(fresh, "tiny", [code("parameters", "", "parameters")], after=["again"])
    with pytest.raises(ValueError, match="wait for one another"):
        site.run_all("laptop")

    def fail(chapter, profile):
        raise runner.CellFailed(f"{chapter}: cell x")

    monkeypatch.setattr(runner, "run", fail)
    tiny(fresh)
    with pytest.raises(runner.CellFailed, match="tiny: cell x"):
        site.run_all("laptop")
    assert "again" not in capsys.readouterr().err
