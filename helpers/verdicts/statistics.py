"""The statistics that a rule can ask for, each of columns of units and for many bootstrap samples at once.

Every function takes one array a quantity, (..., n), and an `axis`, -1; what has no value there is NaN.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from helpers.verdicts.intervals import partial_spearman, spearman

Statistic = Callable[..., np.ndarray | float]


def mean(x: np.ndarray, axis: int = -1) -> np.ndarray | float:
    return np.mean(x, axis=axis)


def rank_gain(x: np.ndarray, y: np.ndarray, other: np.ndarray, axis: int = -1) -> np.ndarray | float:
    """How much better x than the other ranks units by y, whatever the sign."""
    return np.abs(spearman(x, y, axis)) - np.abs(spearman(other, y, axis))


def products(measures: pd.DataFrame) -> pd.Series:
    """Sums over rows of products of every two columns as ranks, scaled to a mean variance of one; by upper triangle.

    What `axes` takes of one network, whose points are the rows. A column without any value counts as constant.
    """
    ranks = measures.rank()
    ranks = ranks.fillna(ranks.mean()).fillna(0)
    centred = (ranks - ranks.mean()).to_numpy() / np.sqrt(np.mean(np.var(ranks.to_numpy(), axis=0)))
    rows, columns = np.triu_indices(ranks.shape[1])
    names = [f"{ranks.columns[i]} × {ranks.columns[j]}" for i, j in zip(rows, columns)]
    return pd.Series((centred.T @ centred)[rows, columns], index=names)


def axes(*products: np.ndarray, axis: int = -1) -> np.ndarray | float:
    """Effective number of axes (participation ratio) of measures whose `products` over units are given by upper triangle."""
    values = eigenvalues(products, axis)
    return values.sum(-1) ** 2 / (values**2).sum(-1)


def shared_axes(*products: np.ndarray, axis: int = -1, kept: int = 3) -> np.ndarray | float:
    """Variance along the leading axes of others (the second half of `products`), as a share of the most there is."""
    half = len(products) // 2
    own, other = correlation(products[:half], axis), correlation(products[half:], axis)
    leading = np.linalg.eigh(other)[1][..., -kept:]
    along = np.einsum("...ik,...ij,...jk->...", leading, own, leading)
    return along / np.linalg.eigvalsh(own)[..., -kept:].sum(-1)


def eigenvalues(products: tuple[np.ndarray, ...], axis: int = -1) -> np.ndarray:
    """(..., m), ascending, of the correlation matrix."""
    return np.linalg.eigvalsh(correlation(products, axis))


def correlation(products: tuple[np.ndarray, ...], axis: int = -1) -> np.ndarray:
    """(..., m, m): sums over units of products, given by upper triangle, scaled to a correlation matrix."""
    m = int(((8 * len(products) + 1) ** 0.5 - 1) / 2)
    if m * (m + 1) // 2 != len(products):
        raise ValueError(f"products: {len(products)}, expected those of an upper triangle: 1, 3, 6, 10, ...")
    sums = np.stack([np.sum(product, axis=axis) for product in products], axis=-1)
    full, (rows, columns) = np.empty((*sums.shape[:-1], m, m)), np.triu_indices(m)
    full[..., rows, columns] = full[..., columns, rows] = sums
    spread = np.sqrt(np.maximum(np.diagonal(full, axis1=-2, axis2=-1), 1e-12))
    return full / (spread[..., :, None] * spread[..., None, :])


def slopes(rows: pd.DataFrame, y: str, covariates: Sequence[str], by: str = "seed") -> pd.DataFrame:
    """Slopes of the log of a column on the logs of covariates, one least-squares fit for each value of `by`.

    Returns:
        One row a fit, indexed by `by`, one column a covariate. The slope on a covariate that is constant is NaN, and all
        are where covariates follow from one another, or a logarithm is not finite.
    """
    found = {value: _slopes(part, y, list(covariates)) for value, part in rows.groupby(by)}
    return pd.DataFrame.from_dict(found, orient="index", columns=list(covariates)).rename_axis(by)


def _slopes(rows: pd.DataFrame, y: str, covariates: list[str]) -> list[float]:
    varying = [name for name in covariates if rows[name].nunique() > 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.log(rows[y].to_numpy(float))
        design = np.stack([np.ones(len(rows)), *(np.log(rows[name].to_numpy(float)) for name in varying)], axis=1)
    fitted = [np.nan] * len(varying)
    if np.isfinite(values).all() and np.isfinite(design).all():
        coefficients, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
        fitted = coefficients[1:] if rank == design.shape[1] else fitted
    known = dict(zip(varying, fitted))
    return [float(known.get(name, np.nan)) for name in covariates]


STATISTICS: dict[str, Statistic] = {
    "mean": mean,
    "spearman": spearman,
    "partial spearman": partial_spearman,
    "rank gain": rank_gain,
    "axes": axes,
    "shared axes": shared_axes,
}
