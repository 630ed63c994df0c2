"""The package as it is installed from a wheel: every module is in it, and a chapter runs from it, anywhere."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.book import sources

HERE = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with nothing in it but what the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(HERE / "helpers", source / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(HERE / name, source)
    pip("wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("*.whl")
    pip("install", "--no-deps", "--no-index", "--target", str(folder / "site"), str(wheel))
    return folder / "site"


def pip(*arguments):
    done = subprocess.run([*PIP, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def call(folder, *arguments, **variables):
    """A command of the installed package, given from this folder."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("LAYERS_") or name == "LAYERS_CACHE"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=given | variables, cwd=folder, capture_output=True, text=True)


def test_every_module_is_in_the_wheel(installed):
    def names(root):
        return {path.relative_to(root).as_posix() for path in (root / "helpers").rglob("*.py")}

    assert names(installed) == names(HERE)


def test_a_chapter_runs_from_the_wheel(installed, copy_of_the_book, tmp_path):
    book = copy_of_the_book(tmp_path)
    places = {"PYTHONPATH": str(installed), "LAYERS_ROOT": str(book.root)}
    (elsewhere := tmp_path / "elsewhere").mkdir()
    found = call(elsewhere, "-c", "import helpers; print(helpers.__file__)", **places)
    assert Path(found.stdout.strip()) == installed / "helpers" / "__init__.py"
    done = call(elsewhere, "-m", "helpers", "run", "curvature", "--profile", "smoke", **places)
    assert done.returncode == 0, done.stderr
    folder = Path(done.stdout.strip())
    assert folder == book.root.resolve() / "_build" / "runs" / "curvature" / "smoke"
    assert list((folder / "records").glob("*.json"))


def test_without_a_book_one_is_told_what_to_do(installed, tmp_path):
    done = call(tmp_path, "-m", "helpers", "list", PYTHONPATH=str(installed))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "LAYERS_ROOT" in done.stderr and "--editable" in done.stderr and str(tmp_path) in done.stderr
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "nothing.ipynb").write_text("{}")
    assert call(tmp_path, "-m", "helpers", "clean", PYTHONPATH=str(installed)).returncode == 0


def test_the_book_is_where_the_variable_says_or_above_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LAYERS_ROOT", raising=False)
    assert sources.root() == HERE.resolve()
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    assert sources.root() == tmp_path.resolve()
