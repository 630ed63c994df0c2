"""Rules, claims and intervals that the tests of verdicts share."""

from copy import deepcopy
from dataclasses import astuple, fields

import pandas as pd
import yaml

from helpers.verdicts.claims import Rule
from helpers.verdicts.intervals import Interval

GREATER = Rule("greater", "an effect", margin=0.3)
RULES = {
    "greater": GREATER,
    "greater than 1": Rule("greater", "an effect", bound=1.0, margin=0.3),
    "less": Rule("less", "an effect", margin=0.3),
    "less than 1": Rule("less", "an effect", bound=1.0, margin=0.3),
    "within": Rule("within", "an effect", bound=0.3, margin=0.3),
    "two-sided": Rule("two-sided", "an effect", margin=0.3),
}
ENTRY = {
    "id": "X1", "chapter": "x", "statement": "It grows.", "source": "abstract", "known_beforehand": "no pilot",
    "contrast": "a against b",
    "arms": {"faithful": {"kind": "greater", "quantity": "an effect", "margin": 0.3}},
}  # fmt: skip
WITHIN = {"kind": "within", "quantity": "an effect", "bound": 0.3, "margin": 0.3}
OPEN = {
    "corrected": {"kind": "two-sided", "quantity": "x", "margin": 0.1},
    "faithful": {"kind": "less", "quantity": "x", "margin": 0.1},
}
THREE = (
    ENTRY | {"arms": ENTRY["arms"] | {"corrected": WITHIN}},
    ENTRY | {"id": "X2", "arms": {"faithful": {"kind": "by construction", "reason": "always so"}}},
    ENTRY | {"id": "X3", "arms": OPEN},
)


def seeds(low, high, n=5):
    """An interval over seeds, in the middle of which the estimate lies."""
    return Interval((low + high) / 2, low, high, n, 0.5, "t over seeds")


def written(tmp_path, *entries):
    """A file of claims."""
    path = tmp_path / "claims.yml"
    path.write_text(yaml.safe_dump([deepcopy(entry) for entry in entries], sort_keys=False))
    return path


def rows(by_claim):
    """The table of intervals, from one or several by choice for each claim and arm."""
    found = [
        (*key, choice, *astuple(interval))
        for key, given in by_claim.items()
        for choice, interval in (given.items() if isinstance(given, dict) else [("", given)])
    ]
    return pd.DataFrame(found, columns=["claim", "arm", "choice", *(field.name for field in fields(Interval))])
