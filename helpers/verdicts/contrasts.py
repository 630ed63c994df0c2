"""Contrasts between conditions of networks, by seed: what most rules compare."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from helpers.verdicts.picking import by_seed, trend


def each(of: Callable, choices: Mapping[str, Mapping], *at, **by) -> dict:
    """By name of a choice, what a function gives with the keywords of the choice, which come before the others."""
    return {name: of(*at, **by | how) for name, how in choices.items()}


@dataclass(frozen=True)
class Contrasts:
    """Measures of networks (`model`, `condition`, `seed`) at each `point`, and what is compared unless otherwise said.

    Attributes:
        table: one row a network and point.
        points: by model, its points by where they lie.
        usual: values of columns, `model` among them, of the rows that count.
        to, since: the two conditions of a change.
    """

    table: pd.DataFrame
    points: Mapping[str, Mapping[str, list[str]]]
    usual: Mapping[str, str] = field(default_factory=dict)
    column: str = "error"
    to: str = "trained"
    since: str = "untrained"

    def _counted(self, where: str, condition: str, **how: str) -> dict[str, str | list[str]]:
        """The values of columns, for `picking`, of the rows of a condition at these points."""
        how = {**self.usual, "condition": condition, **how}
        known = {name: value for name, value in how.items() if name in self.table}
        return {"point": self.points[how["model"]][where], **known}

    def value(self, where: str, condition: str, column: str = "", **how: str) -> pd.Series:
        """A measure's mean over points, by seed; NaN where there are none."""
        return by_seed(self.table, column or self.column, **self._counted(where, condition, **how))

    def change(
        self, where: str, to: str = "", since: str = "", scale: Callable = np.positive, column: str = "", **how: str
    ) -> pd.Series:  # fmt: skip
        """The difference of `value` between two conditions, on a scale, by seed."""
        of = lambda condition: scale(self.value(where, condition, column, **how))
        return of(to or self.to) - of(since or self.since)

    def excess(self, where: str, condition: str, column: str, over: str, **how: str) -> pd.Series:
        """How much larger one measure is than another, by seed."""
        return self.value(where, condition, column, **how) - self.value(where, condition, over, **how)

    def decades(self, where: str, since: str, condition: str, column: str = "", **how: str) -> pd.Series:
        """log10 of a measure at some points over that at others, by seed."""
        return np.log10(self.value(where, condition, column, **how) / self.value(since, condition, column, **how))

    def trend(self, where: str, condition: str = "", column: str = "", **how: str) -> pd.Series:
        """The rank correlation of a measure with the order of the points, by seed (`picking.trend`)."""
        counted = self._counted(where, condition or self.since, **how)
        return trend(self.table, column or self.column, counted["point"], **counted)
