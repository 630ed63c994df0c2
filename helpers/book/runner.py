"""Run chapters: validate parameters, execute in a process of its own, keep only what finished.

This module and `site` know notebooks and folders but no science, and no notebook imports them.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock

from helpers.book import records, sources
from helpers.book.parameters import overrides, resolve, table, validate
from helpers.networks.cache import digest, write
from helpers.networks.user_code import reader

_children: set[subprocess.Popen] = set()  # notebooks under way


class Failed(RuntimeError):
    """A run or a build failed; the message says where and why."""


class CellFailed(Failed):
    """A cell raised; the message names it."""


class KernelDied(Failed):
    """The kernel was killed, often for lack of memory; the message names the cell."""


def run(chapter: str, profile: str = "laptop", parameters: dict | None = None, force: bool = False) -> Path:
    """Run a chapter with the parameters of a profile and these on top; the folder of the finished run.

    The folder holds notebook.ipynb, records/ and run.json. What is up to date is not run again unless forced.
    A run that fails leaves an earlier result as it was, and its notebook beside it as PROFILE.failed.ipynb.
    Raises ValueError (bad parameter), CellFailed, KernelDied.
    """
    usual = resolve(chapter, profile)
    changes = {name: value for name, value in validate(chapter, parameters or {}).items() if value != usual[name]}
    for earlier in after(chapter):
        run(earlier, profile)
    folder = place(chapter, profile, changes)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        identity = key(chapter, profile, changes)
        if finished(folder, identity) and not force:
            print(f"{chapter}: {profile} run is up to date", file=sys.stderr)
            return folder
        _renew(folder, chapter, profile, changes, identity)
    if profile == "paper" and not changes:
        records.publish(chapter, folder / "records")
    return folder


def _renew(folder: Path, chapter: str, profile: str, changes: dict, identity: str) -> None:
    """Run a chapter under a name of this process, and put what finished in its place."""
    for remains in folder.parent.glob(f"{folder.name}.unfinished-*"):  # of a runner that was killed
        shutil.rmtree(remains, ignore_errors=True)
    unfinished = folder.with_name(f"{folder.name}.unfinished-{os.getpid()}")
    unfinished.mkdir()
    try:
        seconds = _execute(chapter, profile, overrides(chapter, profile) | changes, unfinished)
        summary = {"key": identity, "profile": profile, "changes": changes, "seconds": seconds}
        write(unfinished / "run.json", json.dumps(summary, indent=1) + "\n")
        _put(unfinished, folder)
    finally:
        _set_aside(unfinished, folder.with_name(f"{folder.name}.failed.ipynb"))


def place(chapter: str, profile: str, changes: dict | None = None) -> Path:
    """The folder of a run."""
    return sources.runs() / chapter / (profile + (f"-{digest(changes)[:8]}" if changes else ""))


def after(chapter: str) -> list[str]:
    """The chapters whose records this one reads, from its notebook's metadata: `layers: {after: [...]}`."""
    return list(sources.notebook(chapter).metadata.get("layers", {}).get("after", []))


def finished(folder: Path, identity: str) -> bool:
    """Does the folder hold a finished run with this key?"""
    try:
        return json.loads((folder / "run.json").read_text(encoding="utf-8"))["key"] == identity
    except (OSError, ValueError, KeyError):
        return False


def key(chapter: str, profile: str = "laptop", changes: dict | None = None) -> str:
    """The hash of all that a run depends on: code, parameters, helpers, versions, data, and the records it reads."""
    code = sources.cells(chapter, without=("parameters",))
    used = sources.helpers_used(code.values())
    values = resolve(chapter, profile) | (changes or {})
    read = [path for each in after(chapter) for path in records.location(each, profile).glob("*.json")]
    if profile != "paper":  # a chapter draws its paper-scale records beside the live ones
        read += [path for each in [chapter, *after(chapter)] for path in records.location(each, "paper").glob("*.json")]
    if "helpers.verdicts.claims" in used:
        read.append(sources.root() / "book" / "claims.yml")
    contents = [[path.name, path.read_text(encoding="utf-8")] for path in sorted(set(read)) if path.exists()]
    lists = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    given = {name: [value, *map(_state, lists[name])] for name, value in values.items()}
    threads = os.environ.get("LAYERS_THREADS", "1")
    return digest(list(code.items()), table(chapter), given, used, sources.versions(), contents, threads)


def _state(value) -> list:
    """What a parameter points at: the code of a reader's network; names, sizes and times of files (`folder:PATH`)."""
    if not isinstance(value, str) or not value:
        return []
    path = Path(value.removeprefix("folder:"))
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    found = [[str(file), file.stat().st_size, file.stat().st_mtime_ns] for file in files if file.is_file()]
    return [*found, *reader(value).items()]


def _execute(chapter: str, profile: str, values: dict, folder: Path) -> float:
    """Run the notebook in a process of its own; the seconds it took. Raises CellFailed or KernelDied."""
    began = time.monotonic()
    job = {
        "chapter": chapter,
        "source": str(sources.root() / "book" / f"{chapter}.ipynb"),
        "output": str(folder / "notebook.ipynb"),
        "failure": str(folder / "failure.txt"),
        "parameters": values,
        "cwd": str(sources.root()),
    }
    command = [sys.executable, "-m", "helpers.book.execute"]
    # A session of its own keeps Ctrl-C from it; closing the pipe, or our own death, ends it.
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, env=_environment(profile, folder), start_new_session=True, text=True
    )
    _children.add(child)
    try:
        child.stdin.write(json.dumps(job) + "\n")
        child.stdin.flush()
        status = child.wait()
    finally:
        _children.discard(child)
        child.stdin.close()
        child.wait()
    if status:
        failure = folder / "failure.txt"
        reason = failure.read_text(encoding="utf-8") if failure.exists() else f"the process ended with {status}"
        raise (KernelDied if status == 138 else CellFailed)(f"{chapter}: {reason}")
    return round(time.monotonic() - began, 1)


def stop() -> None:
    """End the notebooks under way in other threads of this process."""
    for child in list(_children):
        child.kill()


def _environment(profile: str, folder: Path) -> dict[str, str]:
    """The environment of a run: one thread, a fixed hash seed, this very interpreter as the kernel `python3`."""
    threads = os.environ.get("LAYERS_THREADS", "1")
    spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "Python 3"}
    write(folder / "jupyter" / "kernels" / "python3" / "kernel.json", json.dumps(spec | {"language": "python"}))
    found = {name: os.environ.get(name) for name in ("JUPYTER_PATH", "PYTHONPATH")}
    # The notebook runs in the book's folder: a reader's module is looked for where the command was given, too.
    places = [str(sources.PACKAGE.parent), found["PYTHONPATH"], os.getcwd()]
    return os.environ | {
        **{f"{library}_NUM_THREADS": threads for library in ("OMP", "MKL", "OPENBLAS")},
        "PYTHONHASHSEED": "0",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "JUPYTER_PATH": os.pathsep.join(filter(None, [str(folder / "jupyter"), found["JUPYTER_PATH"]])),
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
        "LAYERS_PROFILE": profile,
        "LAYERS_RUN": str(folder),
    }


def _put(finished_run: Path, folder: Path) -> None:
    """Put a finished run in its place; an earlier one leaves first, so that the two are never mixed."""
    shutil.rmtree(finished_run / "jupyter", ignore_errors=True)
    if folder.exists():
        former = folder.with_name(f"{folder.name}.unfinished-former")
        os.rename(folder, former)
    os.rename(finished_run, folder)
    folder.with_name(f"{folder.name}.failed.ipynb").unlink(missing_ok=True)
    shutil.rmtree(folder.with_name(f"{folder.name}.unfinished-former"), ignore_errors=True)


def _set_aside(unfinished: Path, failed: Path) -> None:
    """Keep the notebook of a run that did not finish, for the reader to look into; nothing else of it."""
    if (unfinished / "notebook.ipynb").exists():
        os.replace(unfinished / "notebook.ipynb", failed)
    shutil.rmtree(unfinished, ignore_errors=True)
