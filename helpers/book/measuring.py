"""Measurements, kept: what one depends on is derived from the code that makes it and the values it reads.

`measure` calls a function for each of many networks, one process a core, and gives tidy tables. What it found lies in
the cache under the fingerprint of the function (`helpers.networks.fingerprints`), so that an interrupted run resumes,
and a changed line, parameter or image measures again.
"""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from filelock import FileLock
from threadpoolctl import threadpool_limits

from helpers.book import sources
from helpers.book.records import plain
from helpers.networks import cache, processes
from helpers.networks.fingerprints import fingerprint
from helpers.networks.processes import progress

WORTH = 20  # seconds of work: less is done about as soon as other processes have started
Tables = pd.DataFrame | dict[str, pd.DataFrame]


def grid(**axes: Sequence) -> list[dict]:
    """Every combination of values, the last one changing fastest: the networks of an experiment, for `measure`."""
    return [dict(zip(axes, values)) for values in itertools.product(*axes.values())]


def measure(run, function: Callable[..., Any], over: Sequence[Mapping], missing: list | None = None) -> Tables:
    """What a function finds for each of `over`, as tidy tables; kept, so that an interrupted run resumes.

    Args:
        run: of the chapter.
        function: called as `function(**each)`; gives one row (a dict), several (a list of dicts), or a dict of lists of
            rows, one a table. What it gives passes through JSON. TypeError for what JSON cannot hold.
        over: keyword arguments, such as `grid` makes; those that are texts, numbers or truths become columns, the last.
        missing: takes (arguments, message) where the function raised FileNotFoundError, instead of its being raised.

    Returns:
        A table; or tables by name, if the function gives several.
    """
    over = [dict(each) for each in over]
    found = _found(run, function, over, missing)
    found = [(each, rows) for each, rows in zip(over, found) if rows is not None]
    several = [rows for _, rows in found if _is_several(rows)]
    if not several:
        return _table([(each, rows if isinstance(rows, list) else [rows]) for each, rows in found])
    return {name: _table([(each, rows[name]) for each, rows in found]) for name in several[0]}


def _is_several(rows: Any) -> bool:
    return isinstance(rows, dict) and bool(rows) and all(_is_table(part) for part in rows.values())


def _is_table(part: Any) -> bool:
    return isinstance(part, list) and all(isinstance(row, dict) for row in part)


def _table(found: list[tuple[dict, list[dict]]]) -> pd.DataFrame:
    """Rows of one network after the other, its plain arguments as the last columns."""
    plain = [{name: value for name, value in each.items() if isinstance(value, str | int | float)} for each, _ in found]
    arguments = list(dict.fromkeys(name for each in plain for name in each))
    table = pd.DataFrame([row | each for each, (_, rows) in zip(plain, found) for row in rows])
    return table.reindex(columns=[name for name in table if name not in arguments] + arguments)


def _found(run, function: Callable, over: list[dict], missing: list | None) -> list:
    """The results in order: from the cache, or computed now, the first here and the others side by side."""
    print_of_it = fingerprint(function)
    paths = [_path(run, print_of_it, each) for each in over]
    found = {path: _kept(path) for path in dict.fromkeys(paths)}
    wanted = {path: each for path, each in zip(paths, over) if found[path] is None}
    told = progress(_name(function), len(wanted))
    for path, result in _computed(run, function, wanted):
        found[path] = result
        told()
    absent = [(each, found[path]["absent"]) for path, each in zip(paths, over) if "absent" in found[path]]
    if absent and missing is None:
        raise FileNotFoundError(absent[0][1])
    if missing is not None:
        missing += absent
    return [found[path].get("result") for path in paths]


def _computed(run, function: Callable, wanted: dict[Path, dict]) -> Iterator[tuple[Path, dict]]:
    """Results as they come. On a CPU a small network keeps no more than one core busy: then one process a core."""
    started, jobs = time.perf_counter(), list(wanted.items())
    for path, each in jobs[:1]:
        yield path, _keep(path, function, each)
    left, cores = jobs[1:], processes.workers()
    worth = (time.perf_counter() - started) * len(left) > WORTH
    if run.device.type != "cpu" or cores < 2 or not worth:
        yield from ((path, _keep(path, function, each)) for path, each in left)
        return
    settings = _settings()
    results = processes.side_by_side(_keep_there, [(settings, path, function, each) for path, each in left])
    yield from zip([path for path, _ in left], results)


def _settings() -> dict[str, str]:
    """The environment of a run: where the cache is, and where data lie."""
    ours = {name: value for name, value in os.environ.items() if name.startswith("LAYERS_")}
    return ours | {"LAYERS_CACHE": str(cache.folder().absolute())}


def _keep_there(settings: dict[str, str], path: Path, function: Callable, each: dict) -> dict:
    """In a worker, with the settings of now: it may have started before they changed."""
    for name in set(_settings()) - set(settings):
        del os.environ[name]
    os.environ |= settings
    return _keep(path, function, each)


def _name(function: Callable) -> str:
    return getattr(function, "__name__", "measurement")


def _path(run, print_of_it: str, each: dict) -> Path:
    """The file of a result: the function, its arguments, the device, the versions and the threads it ran with."""
    name = fingerprint(print_of_it, each, run.device.type, sources.versions(), torch.get_num_threads())
    return cache.folder().absolute() / "measured" / f"{name}.json"


def _keep(path: Path, function: Callable, each: dict) -> dict:
    """Compute a result and keep it with its checksum; whoever comes second waits, and finds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if (kept := _read(path)) is not None:
            return kept
        try:
            with threadpool_limits(torch.get_num_threads(), "blas"):  # numpy's sums depend on it, as torch's do
                result = function(**each)
        except FileNotFoundError as error:  # asked for again the next time: it may be there by then
            return {"absent": str(error)}
        if not isinstance(result, dict | list):
            expected = "expected a row (dict), a list of rows, or such lists by table"
            raise TypeError(f"{_name(function)}: gave {result!r}, {expected}")
        content = {"result": json.loads(json.dumps(result, default=plain))}
        note = {"of": {name: str(value) for name, value in each.items()}, "checksum": cache.digest(content)}
        cache.write(path, json.dumps(note | {"kept": content}) + "\n")
        return content


def _kept(path: Path) -> dict | None:
    """A result that was kept; None if there is none, or if it is damaged (said on stderr)."""
    found = _read(path)
    if found is None and path.exists():
        print(f"{path.name} in the cache is damaged; it is measured again", file=sys.stderr)
    return found


def _read(path: Path) -> dict | None:
    """A result that was kept whole."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found["kept"] if found["checksum"] == cache.digest(found["kept"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
