"""Figures of a chapter: all that draws, from here; estimates with intervals one below the other, and claims."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.book.contrasts import heat as heat
from helpers.book.contrasts import ratios as ratios
from helpers.book.contrasts import signed as signed
from helpers.book.curves import Panel as Panel
from helpers.book.curves import band as band
from helpers.book.curves import bands as bands
from helpers.book.curves import beside as beside
from helpers.book.curves import curves as curves
from helpers.book.curves import room as room
from helpers.book.curves import shaded as shaded
from helpers.book.marks import across as across
from helpers.book.marks import below as below
from helpers.book.marks import dotted as dotted
from helpers.book.marks import from_top
from helpers.book.marks import level as level
from helpers.book.marks import scatter as scatter
from helpers.book.marks import ticks as ticks
from helpers.book.pictures import ends as ends
from helpers.book.pictures import gallery as gallery
from helpers.book.pictures import image as image
from helpers.book.pictures import matrix as matrix
from helpers.book.pictures import trail as trail
from helpers.book.style import ARMS as ARMS
from helpers.book.style import COLOURS as COLOURS
from helpers.book.style import colour_of as colour_of
from helpers.book.style import depth_colours as depth_colours
from helpers.book.style import panels as panels
from helpers.book.style import picture as picture
from helpers.book.style import style as style
from helpers.verdicts.intervals import t_interval


def intervals(ax: Axes, places: Sequence[float], found: Sequence, colour, label: str = "", across: bool = False, **dot) -> None:
    """Estimates with their intervals: a line with a band over places, or, `across`, a mark with a bar at each height."""
    low, mid, high = (np.array([getattr(i, name) for i in found]) for name in ("low", "estimate", "high"))
    if across:
        ax.hlines(places, low, high, color=colour)
        ax.plot(mid, places, "o", color=colour, label=label, **dot)
    else:
        ax.plot(places, mid, "o-", color=colour, label=label, **dot)
        ax.fill_between(places, low, high, color=colour, alpha=0.18, linewidth=0)


def rows(
    ax: Axes, table: pd.DataFrame, y: str, row: str, by: str, colours: Mapping, apart: float | int = 0.3
) -> None:  # fmt: skip
    """Means with their 95 % t-intervals, one row a value of the column `row`, from the top in the order of the table.

    Args:
        y: the column whose values are drawn; undefined ones are left out.
        by, colours: the column of groups within a row, and their colours; they lie so far `apart`, the last on top.
    """
    names = list(dict.fromkeys(table[row]))
    for place, (group, colour) in enumerate(colours.items()):
        part = table[table[by] == group].dropna(subset=y)
        found = {name: t_interval(values) for name, values in part.groupby(row)[y]}
        heights = [names.index(name) + apart * ((len(colours) - 1) / 2 - place) for name in found]
        if found:
            intervals(ax, heights, list(found.values()), colour, across=True, label=str(group))
    from_top(ax, names)


def along(ax: Axes, names: Sequence[str]) -> None:
    """Names of points in order under the axis, in place of numbers."""
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right")


def forest(ax: Axes, table: pd.DataFrame, register: Mapping) -> None:
    """Estimate and interval of each judged claim, one row a claim; faithful hollow, corrected filled; bounds as ticks."""
    table, blue = table.dropna(subset="estimate"), COLOURS["trained"]
    names = list(dict.fromkeys(table["claim"]))
    for _, row in table.iterrows():
        hollow = row["arm"] == "faithful"
        y = names.index(row["claim"]) + (-0.15 if hollow else 0.15)
        ax.plot([row["low"], row["high"]], [y, y], color=blue, linestyle="--" if hollow else "-", linewidth=1.8)
        ax.plot(row["estimate"], y, "o", color=blue, markerfacecolor="white" if hollow else blue)
    for y, name in enumerate(names):
        rule = next(iter(register[name].rules.values()))
        ticks = (-rule.bound, rule.bound) if rule.kind == "within" else (rule.bound,)
        ax.plot(ticks, [y] * len(ticks), "|", color="black", markersize=18)
    from_top(ax, names)


def by_choice(judged, names: Sequence[str], height: float = 4.0) -> tuple[Figure, np.ndarray]:
    """Claims at every choice that they leave open, a panel each; faithful hollow, corrected filled; bounds dotted.

    Claims of which nothing was measured have no panel; figure and axes.
    """
    table, blue = judged.intervals, COLOURS["trained"]
    names = [name for name in names if name in set(table["claim"])]
    fig, axes = panels(max(1, math.ceil(len(names) / 2)), height=height / 2, rows=min(2, len(names)))
    for ax, name in zip(axes.flat, names):
        rows = table[table["claim"] == name].reset_index(drop=True)
        for y, row in enumerate(rows.itertuples()):
            how = {"color": blue, **(ARMS[row.arm] | {"markeredgecolor": blue})}
            ax.plot([row.low, row.high], [y, y], color=blue, linestyle=how["linestyle"])
            ax.plot(row.estimate, y, **how)
        rule = next(iter(judged.register[name].rules.values()))
        for bound in (-rule.bound, rule.bound) if rule.kind == "within" else (rule.bound,):
            dotted(ax, x=bound)
        from_top(ax, [choice or "headline" for choice in rows["choice"]])
        ax.tick_params(axis="y", labelsize="x-small")
        ax.set_title(f"{name}: {judged.register[name].short}", fontsize="small")
    return fig, axes


def claims(judged, height: float = 4.2) -> tuple[Figure, np.ndarray]:
    """A figure of what a chapter's rules say, a `forest` of all its claims; figure and axes."""
    fig, axes = panels(1, height=height)
    forest(axes[0, 0], judged.verdicts, judged.register)
    axes[0, 0].set(xlabel="estimate (unit of each claim)", title="Estimates, intervals and bounds")
    return fig, axes
