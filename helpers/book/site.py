"""From finished runs to the site: scrub and transplant outputs, stage a copy of the book, build it."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

from helpers.book import parameters, records, runner, sources
from helpers.book.speaking import speak
from helpers.book.standing import Ran, standing
from helpers.networks.cache import write

UNSTAGED = {"profiles", "records", "__pycache__", ".ipynb_checkpoints"}


class BuildFailed(runner.Failed):
    """The site could not be built; Sphinx has said why."""


def scrub(notebook):
    """An executed notebook without what differs from run to run: times, paths, random ids, stderr. In place."""
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    })  # fmt: skip
    for cell in notebook.cells:
        for name in ("papermill", "execution", "collapsed", "scrolled"):
            cell.metadata.pop(name, None)
        if "injected-parameters" in cell.metadata.get("tags", ()):
            cell.id = "injected-parameters"
        if cell.cell_type == "code":
            cell.outputs = _merged(cell.outputs)
    return notebook


def _merged(outputs: list) -> list:
    """Outputs without stderr, each stretch of stdout in one piece, paths of this machine shortened."""
    kept = []
    for output in outputs:
        stream = output.output_type == "stream"
        if stream and output.name == "stderr":
            continue
        if stream and kept and kept[-1].output_type == "stream":
            kept[-1].text += output.text
        else:
            kept.append(output)
    for output in kept:
        if "text" in output:
            output.text = _without_paths(output.text)
        for kind, content in output.get("data", {}).items():
            if isinstance(content, str) and (kind.startswith("text/") or kind == "image/svg+xml"):
                output.data[kind] = _without_paths(content)
    return kept


def _without_paths(text: str) -> str:
    """Text without the folders of this machine."""
    folders = {".": sources.root(), "CACHE": os.environ.get("LAYERS_CACHE", "")}
    for name, folder in (folders | {"~": Path.home(), "TMP": tempfile.gettempdir()}).items():
        if len(str(folder)) > 1:
            text = re.sub(rf"(?<![\w.:/]){re.escape(str(folder))}(?![\w-])", name, text)
    return re.sub(r"\.unfinished-\d+", "", text)


def executed(chapter: str, profile: str = "laptop", changes: dict | None = None):
    """The source notebook as it reads now, with the outputs of its finished run, cell by cell.

    Beside a record it says how the run stands to it. BuildFailed if there is no such run, or if it is out of date.
    """
    folder = runner.place(chapter, profile, changes)
    if not runner.finished(folder, runner.key(chapter, profile, changes)):
        raise BuildFailed(f"{chapter}: its {profile} run is missing or out of date; `run` it first")
    run = scrub(nbformat.read(folder / "notebook.ipynb", as_version=4))
    outputs = {cell.id: cell for cell in run.cells if cell.cell_type == "code"}
    page = scrub(sources.notebook(chapter))
    for cell in page.cells:
        if cell.cell_type == "code" and cell.id in outputs:
            cell.outputs = outputs[cell.id].outputs
            cell.execution_count = outputs[cell.id].execution_count
    return speak(page, chapter, standing(ran(chapter, profile, changes)))


def ran(chapter: str, profile: str, changes: dict | None = None) -> Ran:
    """A run, by where it is kept."""
    values = parameters.resolve(chapter, profile) | (changes or {})
    return Ran(chapter, profile, values, runner.place(chapter, profile, changes))


def stage(profile: str = "laptop") -> Path:
    """A copy of the book in which executed notebooks stand in place of the sources; its folder.

    The records lie beside the pages as CSV and JSON: book/live/CHAPTER of this build, book/records/PROFILE/CHAPTER as
    committed. Only what has changed is written, so that Sphinx reads only that again.
    """
    folder = output(profile) / "stage"
    files = shared("_config.yml", "_toc.yml")
    for chapter in sources.chapters():
        files |= chapter_files(executed(chapter, profile), ran(chapter, profile))
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        if not (folder / name).exists() or (folder / name).read_bytes() != content:
            write(folder / name, content)
    return folder


def shared(*names: str) -> dict[str, bytes]:
    """What pages share, and these files, {path: content}."""
    files = {name: (sources.root() / name).read_bytes() for name in names}
    for path in sorted((sources.root() / "book").rglob("*")):
        name = path.relative_to(sources.root())
        if path.is_file() and path.suffix != ".ipynb" and not UNSTAGED & set(name.parts):
            files[name.as_posix()] = path.read_bytes()
    return files


def chapter_files(page, run: Ran) -> dict[str, bytes]:
    """A chapter's page and its records, {path: content}."""
    files = {f"book/{run.chapter}.ipynb": nbformat.writes(page).encode()}
    for name, of in {"live": run, **{f"records/{each}": each for each in records.RECORDED}}.items():
        files |= downloads(run.chapter, of, f"book/{name}/{run.chapter}")
    return files


def downloads(chapter: str, of, folder: str) -> dict[str, bytes]:
    """The records of a chapter as files, {path: content}: of a run, or those of a profile."""
    files = {}
    place = of.folder / "records" if isinstance(of, Ran) else records.location(chapter, of)
    for path in sorted(place.glob("*.json")):
        files[f"{folder}/{path.name}"] = path.read_bytes()
        files[f"{folder}/{path.stem}.csv"] = records.load(chapter, path.stem, of).table.to_csv(index=False).encode()
    return files


def output(profile: str) -> Path:
    """Where a profile's site is built: _build, and a folder in it for other profiles than laptop."""
    folder = sources.root() / "_build"
    return folder if profile == "laptop" else folder / profile


def build(profile: str = "laptop") -> Path:
    """Run the chapters that are out of date, stage, and build the site; its folder.

    Raises BuildFailed if Sphinx has anything to say, and the first failure of a chapter after the others are done.
    """
    run_all(profile)
    staged = stage(profile)
    where = output(profile)
    # Jupyter Book appends _build/html to the folder it is given.
    target = where.parent if profile == "laptop" else where
    if not sphinx(staged, target, "-n", "-q"):
        # What was read with a warning would pass the next time, because it is not read again.
        shutil.rmtree(target / "_build" / ".doctrees", ignore_errors=True)
        raise BuildFailed("the site was not built: see the warnings above")
    return target / "_build" / "html"


def sphinx(staged: Path, target: Path, *options: str, **environment: str) -> bool:
    """Build what is staged into _build/html of a folder; whether there was nothing to warn of: it is told on stderr."""
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(staged)]
    command += ["--path-output", str(target), "-W", "--keep-going", *options]
    done = subprocess.run(command, cwd=staged, env=os.environ | environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout, done.stderr, file=sys.stderr)
    return done.returncode == 0


def run_all(profile: str) -> None:
    """Run every chapter, two side by side, each after those whose records it reads."""
    waiting = {chapter: set(runner.after(chapter)) for chapter in sources.chapters()}
    failures = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        while ready := [chapter for chapter, needed in waiting.items() if not needed & set(waiting)]:
            try:
                failures += filter(None, pool.map(lambda chapter: _attempt(chapter, profile), ready))
            except BaseException:  # Ctrl-C: the chapters under way would keep the pool waiting
                runner.stop()
                raise
            if failures:
                raise failures[0]
            for chapter in ready:
                del waiting[chapter]
    if waiting:
        raise ValueError(f"after: {sorted(waiting)} wait for one another")


def _attempt(chapter: str, profile: str) -> Exception | None:
    try:
        runner.run(chapter, profile)
    except (runner.Failed, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return error
    return None
