"""Save, find and vouch for a result.

A record is one tidy table (JSON, and .npz where arrays are needed) with the parameters and the provenance
of the run that measured it. Those of the recorded profiles are committed, under book/records/PROFILE/CHAPTER.
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
RECORDED = {"digits": "digits", "cifar": "CIFAR-10", "paper": "the paper's scale"}  # profiles by what a page calls them


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


def load(chapter: str, name: str, profile) -> Record | None:
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
    """A table as recorded, at each profile there is, and of this run: (title, table, parameters).

    A run that is being recorded stands alone.
    """
    found = []
    for profile in () if run.profile in RECORDED else recorded(run.chapter):
        record = load(run.chapter, name, profile)
        if record is not None and len(record.table):
            found.append((f"{RECORDED[profile]}, recorded", record.table, record.parameters))
    return [*found, ("this run", live, run.parameters)]


def recorded(chapter: str) -> list[str]:
    """The profiles of which a chapter has committed records."""
    return [profile for profile in RECORDED if any(location(chapter, profile).glob("*.json"))]


def location(chapter: str, profile: str) -> Path:
    """The folder of a chapter's records: committed for a recorded profile, beside the run for the others."""
    if profile in RECORDED:
        return sources.root() / "book" / "records" / profile / chapter
    return sources.runs() / chapter / profile / "records"


def publish(chapter: str, profile: str, folder: Path) -> Path:
    """Put a finished run's records in the place of the committed ones, with a manifest; their folder."""
    target = location(chapter, profile)
    for path in target.glob("*.*"):
        if not (folder / path.name).exists():
            path.unlink()
    for path in sorted(folder.glob("*.*")):
        write(target / path.name, path.read_bytes())
    manifest.write(target)
    return target


def _of_profile(chapter: str, profile: str, given: dict) -> bool:
    """Are these still the parameters of the profile? The device may differ: it is recorded."""
    if profile not in parameters.profiles():
        return True
    return {**parameters.resolve(chapter, profile), "device": None} == {**given, "device": None}


def provenance(run) -> dict[str, Any]:
    """Where, when and with what a run measured: commit, hash of the sources, versions, device, threads, seconds."""
    return {
        "commit": _commit(),
        "sources": run.sources,
        "versions": sources.versions(),
        "device": device_name(run.device),
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


def device_name(device) -> str:
    """`CPU`, or the name of the accelerator."""
    if getattr(device, "type", "cpu") == "cuda":
        import torch

        return torch.cuda.get_device_name(device)
    return str(getattr(device, "type", "cpu")).upper()


def _pack(column: pd.Series) -> dict:
    if isinstance(column.dtype, pd.CategoricalDtype) or _repeats(column):
        known = [None if pd.isna(value) else value for value in column.unique()]
        return {"type": "category", "known": known, "values": [known.index(None if pd.isna(v) else v) for v in column]}
    return {"type": str(column.dtype), "values": [_number(value) for value in column.tolist()]}


def _repeats(column: pd.Series) -> bool:
    """Is it text that stands many times? Then each is written once."""
    texts = column.dropna()
    return len(texts) > 20 and all(isinstance(text, str) for text in texts) and 5 * texts.nunique() < len(column)


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
