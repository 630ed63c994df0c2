"""How often a run of fewer seeds would reach the verdict of a record."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from helpers.networks.numerics import numpy_stream
from helpers.verdicts.claims import Claim, Rule
from helpers.verdicts.judging import arms, estimate, intervals, judge
from helpers.verdicts.judging import by_choice as by_choice_of

FRAGILE = 0.8  # a verdict that fewer of the live runs would reach
DRAWS = {"t": 400, "bootstrap": 60}  # runs that are imagined; those whose intervals are bootstrapped take long


def agreement(values: pd.DataFrame, register: Mapping[str, Claim], sizes: Sequence[int]) -> pd.DataFrame:
    """The share of smaller runs that reach a record's verdict, one row a claim, arm and number of seeds.

    A run of m seeds is imagined by drawing m of the record's seeds with replacement, the same for every choice of a claim,
    and is judged by the same rule; values of networks that have no seed, trained elsewhere, are the same in each. Claims
    without a verdict, and those whose values name no seeds, have no row.

    Args:
        values: the table of `values.tidy`, of the record.
        register: claims by id.
        sizes: numbers of seeds.

    Returns:
        Columns claim, arm, seeds, agrees, draws.
    """
    found, judged = [], intervals(values, register)
    for claim, arm in arms(register):
        rule, rows = register[claim].rules[arm], _of(values, claim, arm)
        verdict = judge(rule, by_choice_of(_of(judged, claim, arm))).verdict
        if not rule.judged or not len(rows) or verdict == "not judged" or rows["seed"].isna().all():
            continue
        draws = DRAWS["bootstrap" if rule.statistic else "t"]
        for size in sizes:
            share = _share(rule, rows, verdict, size, draws, f"{claim} {arm}")
            found.append({"claim": claim, "arm": arm, "seeds": size, "agrees": share, "draws": draws})
    return pd.DataFrame(found, columns=["claim", "arm", "seeds", "agrees", "draws"])


def _of(table: pd.DataFrame, claim: str, arm: str) -> pd.DataFrame:
    return table[(table["claim"] == claim) & (table["arm"] == arm)]


def _share(rule: Rule, rows: pd.DataFrame, verdict: str, size: int, draws: int, name: str) -> float:
    """The share of imagined runs with this verdict."""
    seeds = rows["seed"].dropna().unique()
    drawn = numpy_stream(0, "agreement", name, size).choice(len(seeds), (draws, size))
    by_choice = {c: _by_seed(of) for c, of in rows.groupby("choice", sort=False, observed=True)}
    reached = [_verdict(rule, by_choice, seeds[chosen]) == verdict for chosen in drawn]
    return float(np.mean(reached))


def _by_seed(rows: pd.DataFrame) -> dict:
    """The values of each seed, (quantities, units), and their configurations; under None those of units without one."""
    names = list(rows["of"].unique())
    parts = rows.groupby("seed", sort=False, dropna=False)
    columns = lambda part: np.stack([part.loc[part["of"] == name, "value"].to_numpy() for name in names])
    same = lambda part: part.loc[part["of"] == names[0], "configuration"].to_numpy(str)
    return {None if pd.isna(seed) else seed: (columns(part), same(part)) for seed, part in parts}


def _verdict(rule: Rule, by_choice: Mapping[str, Mapping], seeds: np.ndarray) -> str:
    """What the rule says of a run of these seeds, one of which may stand several times."""
    measured = {}
    for choice, of in by_choice.items():
        if parts := [of[seed] for seed in (*seeds, None) if seed in of]:
            columns, same = (np.concatenate(each, axis=-1) for each in zip(*parts))
            measured[choice] = estimate(rule, list(columns), same)
    return judge(rule, measured).verdict
