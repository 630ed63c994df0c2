"""The values behind the verdicts: one tidy table, from which alone every interval and verdict follows.

A row is one number: of a claim, in one of its arms, for one choice that the claim leaves open ("" where there is none),
of one unit (a seed, or a network where rules draw networks), and of one quantity where a unit has several to correlate.
Networks of one `configuration`, apart in their seeds alone, are averaged before a bootstrap draws ("" where each stands for
itself).
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.verdicts.claims import ARMS

COLUMNS = ("claim", "arm", "choice", "unit", "seed", "configuration", "of", "value")
OfSeeds = Callable[[int], float]
Values = OfSeeds | pd.Series | pd.DataFrame | np.ndarray | Sequence[float | int | None]
Measured = Mapping[tuple[str, str], Values | Mapping[str, Values]]


def tidy(measured: Measured, seeds: Sequence[int]) -> pd.DataFrame:
    """The table of values.

    Args:
        measured: by claim and arm, the values; or several by name, one for each value of a choice that the claim does
            not fix (dimension, metric, reference), the headline first. Values are a function of the seed; a Series, an
            array or a sequence, one value a unit; or a DataFrame, one row a unit and one column a quantity, in the
            order in which the rule's statistic takes them.
        seeds: what a function is called with.

    A Series or DataFrame has the units as its index; one named `seed`, or a level of that name, gives the seeds, and a
    level named `configuration` the configurations.
    """
    rows = [
        row
        for (claim, arm), given in measured.items()
        for choice, values in (given.items() if isinstance(given, Mapping) else [("", given)])
        for row in _rows(values, seeds, claim=claim, arm=arm, choice=choice)
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"value": float})


def paired(found: Mapping[str, Sequence[Values | Mapping[str, Values] | None]]) -> Measured:
    """What `tidy` takes, of values by claim in the order of the arms; None, or nothing, for an arm without any."""
    return {(claim, arm): of for claim, arms in found.items() for arm, of in zip(ARMS, arms) if of is not None}


def _rows(values: Values, seeds: Sequence[int], **where: str) -> list[dict]:
    if callable(values):
        values = pd.Series({seed: float(values(seed)) for seed in seeds}).rename_axis("seed")
    if not isinstance(values, pd.DataFrame):
        values = pd.Series(values, dtype=float).to_frame("")
    levels = list(values.index.names)
    seed_of = values.index.get_level_values("seed") if "seed" in levels else [None] * len(values)
    same = values.index.get_level_values("configuration") if "configuration" in levels else [""] * len(values)
    units = [" ".join(map(str, unit)) if isinstance(unit, tuple) else str(unit) for unit in values.index]
    return [
        {**where, "unit": unit, "seed": None if seed is None else int(seed), "configuration": str(how), "of": str(name),
         "value": float(value)}
        for name, column in values.items()
        for unit, seed, how, value in zip(units, seed_of, same, column)
    ]  # fmt: skip
