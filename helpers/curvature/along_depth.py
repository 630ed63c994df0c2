"""A measure of curvature along depth, in decades: its jumps, its plateau, and its hidden part."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float


class Course(NamedTuple):
    """How a measure runs from the first point to the last; every field in decades, differences of log10."""

    last: float  # the jump at the last point
    phases: float  # the smaller of the first and the last jump, less the range of the hidden points
    hidden: float  # mean over the hidden points, log10
    contrast: float  # the last point over the hidden ones


def course(values: Float[np.ndarray, "points"], reference: float | None = None) -> Course:
    """The course of a measure of at least three points, which may be zero (minus infinity in decades) at the input.

    Args:
        values: by point, in order of depth; the hidden points are all but the first and the last.
        reference: what the last jump is measured from, in the measure's unit; by default the penultimate point.

    ValueError for fewer points.
    """
    if len(values) < 3:
        raise ValueError(f"values: {len(values)}, expected those of at least three points")
    with np.errstate(divide="ignore", invalid="ignore"):
        decades = np.log10(np.asarray(values, dtype=float))
        hidden, start = decades[1:-1], decades[-2] if reference is None else np.log10(reference)
        first, last = decades[1] - decades[0], decades[-1] - start
        mean, phases = hidden.mean(), np.fmin(first, last) - np.ptp(hidden)
        return Course(float(last), float(phases), float(mean), float(decades[-1] - mean))


def courses(
    table: pd.DataFrame, keys: Sequence[str], choices: Mapping[str, tuple[str, str | None]], beside: str,
    correlation: Callable[[np.ndarray, np.ndarray], float],
) -> pd.DataFrame:  # fmt: skip
    """The `course` of each network by each of several measures, and how it goes with another column.

    Args:
        table: one row a network and point, with its `depth`.
        keys: the columns that tell networks apart.
        choices: by name, the column of the measure, and of the reference, taken at the penultimate point.
        beside: the other column, whose correlation with the measure is `rank` over all points, `hidden rank` over the
            hidden ones.

    Returns:
        One row a network and choice, indexed by choice and keys, networks in the order of the table.
    """
    rows = []
    for key, net in table.sort_values("depth", kind="stable").groupby(list(keys), sort=False):
        other = net[beside].to_numpy(dtype=float)
        for choice, (measure, reference) in choices.items():
            values = net[measure].to_numpy(dtype=float)
            found = course(values, float(net[reference].iloc[-2]) if reference else None)._asdict()
            found |= {"rank": correlation(other, values), "hidden rank": correlation(other[1:-1], values[1:-1])}
            rows.append({"choice": choice, **dict(zip(keys, key)), **found})
    return pd.DataFrame(rows).set_index(["choice", *keys])


def last_steps(
    table: pd.DataFrame, keys: Sequence[str], published: str, bend: str, readout: str
) -> pd.DataFrame:  # fmt: skip
    """What happens to curvature from the penultimate point to the logits, one row a network, indexed by the keys.

    Args:
        table: one row a network and point, in order of depth.
        keys: the columns that tell networks apart.
        published, bend: the columns of the measures.
        readout: that of the bend of read-outs, of the penultimate point.

    Returns:
        `gap`, of the published measure over its mean along depth (no unit); `rise`, decades of bend of the logits over
        read-outs; `rise_penultimate`, over the penultimate point; and the number of `points`.
    """
    rows = []
    for key, net in table.groupby(list(keys), sort=False):
        mapc, last, before = net[published].to_numpy(), net.iloc[-1], net.iloc[-2]
        rows.append({
            **dict(zip(keys, key)),
            "gap": (mapc[-1] - mapc[-2]) / mapc.mean(),
            "rise": np.log10(last[bend] / before[readout]),
            "rise_penultimate": np.log10(last[bend] / before[bend]),
            "points": len(net),
        })  # fmt: skip
    return pd.DataFrame(rows).set_index(list(keys))
