"""Statistics of one network's profile: a table with a row a point, input first, `depth` and measures as columns."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from helpers.verdicts.intervals import spearman


def turn(profile: pd.DataFrame, name: str) -> tuple[float, np.ndarray]:
    """The depth of the hop between neighbouring points with a measure's largest change, and the depths of all hops.

    A hop lies halfway between its points; what is not known counts as zero.
    """
    places = profile["depth"].rolling(2).mean().to_numpy()[1:]
    changes = np.abs(np.diff(np.nan_to_num(profile[name].to_numpy())))
    return places[changes.argmax()], places


def disagreement(profile: pd.DataFrame, names: Sequence[str]) -> float:
    """Mean distance between the turns of several measures, minus that between hops taken at random; negative if they
    turn together."""
    turns, hops = [turn(profile, name)[0] for name in names], turn(profile, names[0])[1]
    apart = lambda values: np.abs(np.subtract.outer(values, values))
    return float(apart(turns)[np.triu_indices(len(turns), 1)].mean() - apart(hops).mean())


def ranked_alike(profile: pd.DataFrame, one: str, other: str) -> float:
    """Rank correlation of two measures along a network's hidden points and logits, the input left out."""
    return spearman(profile[one].to_numpy()[1:], profile[other].to_numpy()[1:])


def lost_at_turn(
    profile: pd.DataFrame, error: str, target: str, peak: str, bound: float = 0.5, any_hop: bool = False
) -> float:
    """How much farther from where images are lost the turn to the target is than the peak of another measure.

    Images are lost at the first point with an `error` above the bound, or else at the end; the turn is the hop that takes
    most off the distance to the `target`. With `any_hop`, the mean over all hops in its place.
    """
    depth, gone = profile["depth"].to_numpy(), (profile[error] > bound).to_numpy()
    where = depth[gone.argmax()] if gone.any() else 1.0
    to_peak = abs(where - depth[np.nan_to_num(profile[peak].to_numpy()).argmax()])
    to_hops = np.abs(where - turn(profile, target)[1])
    nearest = np.nan_to_num(np.diff(profile[target].to_numpy())).argmin()
    return float((to_hops.mean() if any_hop else to_hops[nearest]) - to_peak)
