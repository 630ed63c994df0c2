"""Rows of a table of measurements, and what they say of each seed: the values that rules are about."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from helpers.verdicts.intervals import spearman


def pick(table: pd.DataFrame, **values) -> pd.DataFrame:
    """The rows with these values in the columns of these names; a list stands for any of its values."""
    for column, value in values.items():
        table = table[table[column].isin(value) if isinstance(value, list) else table[column] == value]
    return table


def by_seed(table: pd.DataFrame, of: str | Callable[[pd.DataFrame], float], **values) -> pd.Series:
    """The mean of a column over the rows with these values, or a function of these rows, for each seed.

    Indexed by `seed`, in the order of the table; NaN for a seed of the table that has no such rows.
    """
    number = of if callable(of) else lambda rows: np.mean(rows[of].to_numpy())
    found = {seed: float(number(rows)) for seed, rows in pick(table, **values).groupby("seed")}
    return pd.Series(found, dtype=float).reindex(table["seed"].unique()).rename_axis("seed")


def trend(table: pd.DataFrame, column: str, points: Sequence[str], **values) -> pd.Series:
    """Rank correlation of a column with the order of the points, by seed, of the rows with these values.

    One row a `point`; where entries are lists, one number an image, the median over images of each one's correlation.
    KeyError for a point without a row.
    """

    def along(rows: pd.DataFrame) -> float:
        numbers = np.stack(rows.set_index("point")[column].loc[list(points)].to_list(), axis=-1)
        return np.median(spearman(np.arange(len(points)), numbers))

    return by_seed(table, along, **values)
