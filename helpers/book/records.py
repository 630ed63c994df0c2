"""Save, find and vouch for a result.

A record is one tidy table (JSON, and .npz where arrays are needed) with the parameters and the provenance
of the run that measured it. Records of paper-scale runs are committed under book/records.
"""

import dataclasses
import io
import json
import math
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.book import manifest, parameters, sources
from helpers.networks.cache import write

LIMIT = 200_000  # bytes of one record: it is committed


@dataclasses.dataclass
class Record:
    """A result that was found again. `status` is "current", "stale" or "unreadable"."""

    chapter: str
    name: str
    profile: str
    table: pd.DataFrame
    parameters: dict
    provenance: dict
    status: str
    path: Path

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays saved beside the table; {} if there are none."""
        beside = self.path.with_suffix(".npz")
        if not beside.exists():
            return {}
        with np.load(beside, allow_pickle=False) as found:
            return dict(found)


def save(
    run, name: str, table: pd.DataFrame, digits: int | None = None, arrays: dict | None = None, data: Any = None,
    **notes,
) -> Path:  # fmt: skip
    """Write what a run measured; notes join its provenance.

    Args:
        digits: significant digits of numbers that are no integers, for a record is small; all by default.
        arrays: saved beside the table.
        data: the data set of the measurement, whose checksum is noted.

    ValueError if the JSON would exceed 200 kB, or the table has columns of one name.
    """
    if data is not None:
        notes["data"] = data.checksum
    if not table.columns.is_unique:
        raise ValueError(f"table: columns {list(table.columns)}: expected distinct names")
    table = table if digits is None else table.map(lambda value: rounded(value, digits))
    content = {
        "chapter": run.chapter,
        "name": name,
        "profile": run.profile,
        "parameters": run.parameters,
        "provenance": provenance(run) | notes,
        "table": {str(column): _pack(table[column]) for column in table},
    }
    lines = (f"{json.dumps(part)}: {json.dumps(value, default=plain)}" for part, value in content.items())
    text = "{\n" + ",\n".join(lines) + "\n}\n"  # a line for each part, so that changes are easy to see
    if len(text.encode()) > LIMIT:
        raise ValueError(f"table: {len(text.encode())} bytes as JSON: expected at most {LIMIT}; summarise it")
    path = run.folder / "records" / f"{name}.json"
    if arrays:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write(path.with_suffix(".npz"), buffer.getvalue())
    return write(path, text)


def rounded(value: Any, digits: int) -> Any:
    """A number with so many significant digits; anything that is no fraction as it is."""
    return float(f"{value:.{digits}g}") if isinstance(value, float) else value


def load(chapter: str, name: str, profile="paper") -> Record | None:
    """A record, or None where there is none; a Run in place of the profile's name finds that run's own.

    A file that cannot be read gives an empty table and the status "unreadable".
    """
    folder = getattr(profile, "folder", None)  # the run under way is not yet in its place
    profile = getattr(profile, "profile", profile)
    path = (folder / "records" if folder else location(chapter, profile)) / f"{name}.json"
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        table = pd.DataFrame({column: _unpack(packed) for column, packed in content["table"].items()})
        given, origin = dict(content["parameters"]), dict(content["provenance"])
        measured_by = origin["sources"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return Record(chapter, name, profile, pd.DataFrame(), {}, {}, "unreadable", path)
    current = measured_by == sources.measuring(chapter) and _of_profile(chapter, profile, given)
    return Record(chapter, name, profile, table, given, origin, "current" if current else "stale", path)


def beside(run, name: str, live: pd.DataFrame) -> list[tuple[str, pd.DataFrame, dict]]:
    """A table of this run and, where there is one, that of the recorded paper-scale run: (title, table, parameters)."""
    found, record = [("this run", live, run.parameters)], load(run.chapter, name)
    if record is not None and len(record.table):
        found.append((f"recorded, {record.provenance['device']}", record.table, record.parameters))
    return found


def location(chapter: str, profile: str) -> Path:
    """The folder of a chapter's records: committed for the paper profile, beside the run for the others."""
    if profile == "paper":
        return sources.root() / "book" / "records" / chapter
    return sources.runs() / chapter / profile / "records"


def publish(chapter: str, folder: Path) -> None:
    """Put a finished run's records in the place of the committed ones, with a manifest."""
    target = location(chapter, "paper")
    for path in target.glob("*.*"):
        if not (folder / path.name).exists():
            path.unlink()
    for path in sorted(folder.glob("*.*")):
        write(target / path.name, path.read_bytes())
    manifest.write(target)


def _of_profile(chapter: str, profile: str, given: dict) -> bool:
    """Are these still the parameters of the profile? The device may differ: it is recorded."""
    if profile not in parameters.profiles():
        return True
    return {**parameters.resolve(chapter, profile), "device": None} == {**given, "device": None}


def badge(result) -> str:
    """One line of Markdown that says where numbers come from: of a Record, of a Run (live), or of None."""
    if result is None:
        return "**Not recorded** at this scale yet."
    if not isinstance(result, Record):
        return f"**Live** · {result.profile} profile · {_device_name(result.device)}"
    if result.status == "unreadable":
        return f"**Recorded** · {result.profile} profile · **unreadable**: `{result.path.name}` is damaged"
    origin = result.provenance
    parts = ["**Recorded**", f"{result.profile} profile", origin["device"], f"commit {origin['commit'] or 'unknown'}"]
    parts.append(origin["created"][:10])
    if result.status == "stale":
        parts.append("**stale**: what measured it has changed since")
    return " · ".join(parts)


def downloads(run, *others: str) -> str:
    """Markdown links to the tables of a run and of the recorded paper-scale run, as they lie beside its page.

    The tables of other chapters follow, those of the same profile and those recorded.
    """
    return "\n".join(line for chapter in (run.chapter, *others) for line in _links(run, chapter, bool(others)))


def _links(run, chapter: str, named: bool) -> list[str]:
    lines = []
    own = run.folder / "records"  # not yet in its place
    live = own if chapter == run.chapter else location(chapter, run.profile)
    places = {"live": ("this run", live), "records": ("the paper scale", location(chapter, "paper"))}
    for where, (title, folder) in places.items():
        links = []
        for path in sorted(folder.glob("*.json")):
            files = (f"{{download}}`{kind.upper()} <{where}/{chapter}/{path.stem}.{kind}>`" for kind in ("csv", "json"))
            links.append(f"- {path.stem}: {', '.join(files)}")
        if links:
            lines += ["", f"Tables of {title}{f', {chapter}' if named else ''}:", "", *links]
    return lines


def provenance(run) -> dict[str, Any]:
    """Where, when and with what a run measured: commit, hash of the sources, versions, device, threads, seconds."""
    return {
        "commit": _commit(),
        "sources": run.sources,
        "versions": sources.versions(),
        "device": _device_name(run.device),
        "threads": run.threads,
        "seconds": round(time.monotonic() - run.started, 1),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _commit() -> str | None:
    """The commit of the checkout, with -dirty when tracked files differ from it; None outside git."""
    command = ["git", "-C", str(sources.root()), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    if not shutil.which("git"):
        return None
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def _device_name(device) -> str:
    """`CPU`, or the name of the accelerator."""
    if getattr(device, "type", "cpu") == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return str(getattr(device, "type", "cpu")).upper()


def _pack(column: pd.Series) -> dict:
    if isinstance(column.dtype, pd.CategoricalDtype):  # a text that is often repeated
        known = [None if pd.isna(value) else value for value in column.unique()]
        return {"type": "category", "known": known, "values": [known.index(None if pd.isna(v) else v) for v in column]}
    return {"type": str(column.dtype), "values": [_number(value) for value in column.tolist()]}


def _number(value):
    """JSON knows neither NaN, which stands for what is missing in columns of text as well, nor infinity."""
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return None if math.isnan(value) else str(value)


def _unpack(packed: dict) -> pd.Series:
    values = packed["values"]
    if packed["type"] == "category":
        return pd.Series([packed["known"][place] for place in values])
    if packed["type"].startswith("float"):
        values = [math.nan if x is None else float(x) for x in values]
    return pd.Series(values, dtype=packed["type"])


def plain(value):
    """JSON for what JSON does not know: numpy, tensors, dataclasses, paths."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{value!r}: expected something that JSON can hold")
