"""What is taken of tables of gains by network (rows as `batteries.described` gives them): logarithms, means, slopes."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

NETWORK = ["condition", "seed"]


def log_means(rows: pd.DataFrame, column: str, vectors: Sequence[str]) -> pd.DataFrame:
    """Mean over vectors of the logarithm of a column: a row for each network, a column for each point, in order.

    Args:
        rows: with columns `condition`, `seed`, `point`, `vector`, one row for each combination. ValueError for two.
        vectors: their names. KeyError for one that is not there.
    """
    logs = np.log(rows.pivot(index=NETWORK, columns=["point", "vector"], values=column))
    return pd.DataFrame({point: logs[point][list(vectors)].mean(axis=1) for point in rows["point"].unique()})


def slope(values: pd.Series, dial: Mapping[str, float]) -> pd.Series:
    """By seed, the least-squares slope of a value of networks (`condition`, `seed`) on where a dial stands for each.

    Args:
        dial: by condition; others do not count.
    """
    heights = values.unstack("seed").loc[list(dial)]
    return heights.apply(lambda height: np.polyfit(list(dial.values()), height, 1)[0])


def standardised(rows: pd.DataFrame, columns: Iterable[str], over: str, under: str) -> pd.DataFrame:
    """By seed, the mean over images of the log ratio of two conditions, over its standard deviation; a column each.

    Args:
        rows: with columns `condition`, `seed` and `image`, one row for each combination; what is NaN does not count.
        over, under: the conditions.
    """
    logs = np.log(rows.set_index([*NETWORK, "image"])[list(columns)])
    ratio = (logs.loc[over] - logs.loc[under]).groupby("seed")
    return ratio.agg(lambda values: np.nanmean(values) / np.nanstd(values, ddof=1))
