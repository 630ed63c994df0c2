"""A new chapter runs as it is written, and is checked, judged and listed like the others."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from helpers.book import checks, records, runner, skeleton, sources
from helpers.networks import cache
from helpers.verdicts import claims

HERE = Path(__file__).parents[2]


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A copy of the book without its chapters' runs."""
    shutil.copytree(HERE / "book", tmp_path / "book", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HERE / "_toc.yml", tmp_path)
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    return tmp_path


def test_a_new_chapter_runs_at_smoke(book):
    before = claims.load()
    touched = skeleton.new("texture")
    assert {path.relative_to(book).as_posix() for path in touched} == {
        "book/texture.ipynb", "book/profiles/smoke/texture.yml", "book/claims.yml", "_toc.yml"}  # fmt: skip
    added = set(claims.load()) - set(before)
    assert len(added) == 1 and claims.load()[added.pop()].chapter == "texture"
    listed = [each["file"] for part in yaml.safe_load((book / "_toc.yml").read_text())["parts"] for each in part["chapters"]]
    assert listed.index("book/texture") == listed.index("book/lenses") + 1
    assert not [mistake for mistake in checks.check()[0] if "texture" in mistake]
    tagged = {cell.id: cell.metadata.get("tags") for cell in sources.notebook("texture").cells if cell.cell_type == "markdown"}
    assert tagged["strip"] == ["strip"] and tagged["profiles-reading"] == ["result", "claim:T1"] and not tagged["question"]
    folder = runner.run("texture", "smoke")
    assert {"profiles", "values", "intervals", "claims"} == {path.stem for path in (folder / "records").glob("*.json")}


def test_a_parameter_touches_its_cell_and_a_claim_its_rule_and_one_line(book):
    """Then the new parameter is checked and the new claim judged, and nothing is measured again."""
    skeleton.new("texture")
    runner.run("texture", "smoke")
    kept = sorted(path for path in cache.folder().rglob("*") if path.is_file())
    path = book / "book" / "texture.ipynb"
    plant(path, 'device: str = "auto"', 'share: float = 0.5  # share; 0..1; nobody reads it\ndevice: str = "auto"')
    value = '("T2", "corrected"): lambda s: last["untrained", s]'
    plant(path, 'measured = {("T1"', f'measured = {{\n    {value},\n    ("T1"')
    register = (book / "book" / "claims.yml").read_text()
    (book / "book" / "claims.yml").write_text(register + register[register.index("\n- id: T1") :].replace("T1", "T2"))
    with pytest.raises(ValueError, match="share"):
        runner.run("texture", "smoke", {"share": 2})
    folder = runner.run("texture", "smoke", {"share": 0.25})
    judged = records.load("texture", "claims", folder.name).table
    assert list(judged["claim"]) == ["T1", "T2"] and judged["estimate"].notna().all()
    assert kept == sorted(path for path in cache.folder().rglob("*") if path.is_file())


def plant(path, old, new):
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in notebook.cells if old in cell.source]
    cell.source = cell.source.replace(old, new)
    nbformat.write(notebook, path)


@pytest.mark.parametrize("name", ["depth", "scorecard", "rerun", "Two words", "../out", ""])
def test_a_name_that_is_taken_or_none_is_refused(book, name):
    kept = {path: path.read_bytes() for path in book.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="chapter = "):
        skeleton.new(name)
    assert kept == {path: path.read_bytes() for path in book.rglob("*") if path.is_file()}


def test_the_command_says_what_it_wrote_and_what_is_next(book):
    done = subprocess.run([sys.executable, "-m", "helpers", "new", "texture"], cwd=HERE, capture_output=True, text=True)
    assert done.returncode == 0 and "texture.ipynb" in done.stdout and "--profile smoke" in done.stderr
    again = subprocess.run([sys.executable, "-m", "helpers", "new", "texture"], cwd=HERE, capture_output=True, text=True)
    assert again.returncode == 2 and "already" in again.stderr or "short word" in again.stderr
    assert "texture" in sources.chapters()
