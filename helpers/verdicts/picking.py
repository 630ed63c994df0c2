"""Rows of a table of measurements, and what they say of each seed: the values that rules are about."""

from collections.abc import Callable, Mapping, Sequence

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


def star(values: pd.DataFrame, choices: Sequence[str], head: str, among: Sequence[str] = ()) -> dict[str, pd.Series]:
    """A statistic by seed at the first choice, then at each other one alone: the spokes of a star, not a full grid.

    Args:
        values: indexed by choice and seed, one column a network's architecture.
        choices: the headline first.
        head: the architecture at which choices are varied.
        among: architectures that are themselves a choice, at the first of the others; `head` the headline, which comes first.
    """
    first, *others = choices
    found = {f"architecture: {name}": values[name].loc[first] for name in dict.fromkeys([head, *among])} if among else {}
    return found | {choice: values[head].loc[choice] for choice in (others if among else choices)}


def tilt(table: pd.DataFrame, x: str, y: str, **values) -> pd.Series:
    """Decades of y that one of x adds, by seed, over the rows with these values: the slope of log10 y on x."""
    return by_seed(table, lambda rows: np.polyfit(rows[x], np.log10(rows[y]), 1)[0], **values)


def decades(table: pd.DataFrame, column: str, to: Mapping, since: Mapping, **values) -> pd.Series:
    """log10 of a column's mean where `to` says over that where `since` does, by seed, of the rows with these values."""
    rows = pick(table, **values)
    return np.log10(by_seed(rows, column, **to) / by_seed(rows, column, **since))


def less(table: pd.DataFrame, columns: Sequence[str], keys: Sequence[str], **reference) -> pd.DataFrame:
    """The table with these columns less those of the reference, the rows with its values, that agree in the keys.

    NaN where there is no such row; ValueError where there are several.
    """
    rows = table.set_index(list(keys))
    rows[list(columns)] -= pick(rows, **reference)[list(columns)].reindex(rows.index)
    return rows.reset_index()
