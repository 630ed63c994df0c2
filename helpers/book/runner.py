"""Run chapters: validate parameters, execute in a process of its own, keep only what finished.

This module and `site` know notebooks and folders but no science, and no notebook imports them. A run's `run.json` has its
key, by which it is known to be up to date, and the SHA-256 of its outputs, by which they are known to be what it gave.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from helpers.book import execute, manifest, records, sources
from helpers.book.parameters import overrides, resolve, table, validate
from helpers.networks import numerics, pointing
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
    own = changes(chapter, profile, parameters)
    values = resolve(chapter, profile) | own
    numerics.device(values.get("device", "auto"))  # an absent one is refused before anything starts
    for earlier in after(chapter):
        run(earlier, profile)
    folder = place(chapter, profile, own)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        _restore(folder)
        identity = key(chapter, profile, own)
        if finished(folder, identity) and not force:
            print(f"{chapter}: {profile} run is up to date", file=sys.stderr)
            return folder
        for line in changed(folder):
            print(f"{chapter}: {line}: run again", file=sys.stderr)
        _renew(folder, chapter, profile, own, identity)
    return folder


def changes(chapter: str, profile: str, parameters: dict | None = None) -> dict:
    """Those of these parameters that differ from a profile's, with their types settled. ValueError for a bad one."""
    usual = resolve(chapter, profile)
    return {name: value for name, value in validate(chapter, parameters or {}).items() if value != usual[name]}


def _renew(folder: Path, chapter: str, profile: str, changes: dict, identity: str) -> None:
    """Run a chapter under a name of this process, and put what finished in its place."""
    unfinished = folder.with_name(f"{folder.name}.unfinished-{os.getpid()}")
    unfinished.mkdir()
    try:
        seconds = _execute(chapter, profile, overrides(chapter, profile) | changes, unfinished)
        finished_at = datetime.now().astimezone().isoformat(timespec="seconds")
        said = {"key": identity, "profile": profile, "changes": changes, "seconds": seconds, "finished": finished_at}
        write(unfinished / "run.json", json.dumps(said | {"outputs": _outputs(unfinished)}, indent=1) + "\n")
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
    """Does the folder hold a finished run with this key, and its outputs as they were made?"""
    return summary(folder).get("key") == identity and not changed(folder)


def summary(folder: Path) -> dict:
    """What a finished run says of itself: key, profile, changes, seconds, finished, outputs; {} if there is none."""
    try:
        found = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and "outputs" in found else {}


def changed(folder: Path) -> list[str]:
    """What has become of the outputs of a finished run since, a line for each; [] where there is no run."""
    if not (folder / "run.json").exists():
        return []
    if not (said := summary(folder)):
        return ["run.json is damaged"]
    return manifest.differences(said["outputs"], _outputs(folder))


def _outputs(folder: Path) -> dict[str, str]:
    return manifest.sums(folder, "notebook.ipynb", "records")


def finished_runs(chapter: str) -> list[Path]:
    """The folders of a chapter's finished runs, in the order of their dates."""
    found = [path.parent for path in (sources.runs() / chapter).glob("*/run.json") if summary(path.parent)]
    return sorted(found, key=lambda folder: summary(folder)["finished"])


def key(chapter: str, profile: str = "laptop", changes: dict | None = None) -> str:
    """The hash of all that a run depends on: code, parameters, helpers, versions, data, and the records it reads."""
    code = sources.cells(chapter, without=("parameters",))
    used = sources.helpers_used(code.values())
    values = resolve(chapter, profile) | (changes or {})
    read = [path for each in after(chapter) for path in records.location(each, profile).glob("*.json")]
    if profile not in records.RECORDED:  # a chapter draws what is recorded beside its own
        for each in [chapter, *after(chapter)]:
            read += [path for of in records.RECORDED for path in records.location(each, of).glob("*.json")]
    if "helpers.verdicts.claims" in used:
        read.append(sources.root() / "book" / "claims.yml")
    contents = [[*path.parts[-3:], path.read_text(encoding="utf-8")] for path in sorted(set(read)) if path.exists()]
    lists = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
    given = {name: [value, *map(_state, lists[name])] for name, value in values.items()}
    threads = os.environ.get("LAYERS_THREADS", "1")
    return digest(list(code.items()), table(chapter), given, used, sources.versions(), contents, threads)


def _state(value) -> list:
    """What a parameter points at: files of images and of weights (names, sizes, times), the code of a reader's network."""
    return [*pointing.files(value), *reader(value).items()] if isinstance(value, str) and value else []


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
    command = [sys.executable, "-P", execute.__file__]  # -P: its folder has names of the standard library
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
        execute.end("LAYERS_RUN", str(folder))  # whoever is left: this process, the kernel or its workers, orphans or not
        child.wait()
        with suppress(BrokenPipeError):
            child.stdin.close()
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
        "LAYERS_ROOT": str(sources.root()),
        "LAYERS_PROFILE": profile,
        "LAYERS_RUN": str(folder),
    }


def _restore(folder: Path) -> None:
    """Clear up after runners of the chapter that were killed; this run is locked."""
    former = _former(folder)
    if former.exists() and not folder.exists():  # killed between two names
        os.rename(former, folder)
    for remains in folder.parent.glob("*.unfinished-*"):
        place = remains.with_name(remains.name.partition(".unfinished-")[0])
        if place == folder:
            shutil.rmtree(remains, ignore_errors=True)
        elif remains != _former(place):  # of another run: unless it is under way
            with suppress(Timeout), FileLock(f"{place}.lock", timeout=0):
                shutil.rmtree(remains, ignore_errors=True)


def _former(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.unfinished-former")


def _put(finished_run: Path, folder: Path) -> None:
    """Put a finished run in its place; an earlier one leaves first, so that the two are never mixed."""
    shutil.rmtree(finished_run / "jupyter", ignore_errors=True)
    if folder.exists():
        os.rename(folder, _former(folder))
    os.rename(finished_run, folder)
    folder.with_name(f"{folder.name}.failed.ipynb").unlink(missing_ok=True)
    shutil.rmtree(_former(folder), ignore_errors=True)


def _set_aside(unfinished: Path, failed: Path) -> None:
    """Keep the notebook of a run that did not finish, for the reader to look into; nothing else of it."""
    if (unfinished / "notebook.ipynb").exists():
        os.replace(unfinished / "notebook.ipynb", failed)
    shutil.rmtree(unfinished, ignore_errors=True)
