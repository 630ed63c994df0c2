"""Marks on a panel: dots, one a network, scattered or joined; a named level; plain ticks; names of rows; a legend below."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

MARKS = "os^Dv"


def scatter(ax: Axes, table: pd.DataFrame, x: str, y: str, by: str, size: float = 4) -> None:
    """A dot a row, with a mark and a shade (early light, late dark) for each value of `by`, in the order of the table.

    The values are named for a legend, which the caller places; numbers are shortened.
    """
    values = list(dict.fromkeys(table[by]))
    for place, (value, colour) in enumerate(zip(values, sns.color_palette("crest", len(values)))):
        rows, label = table[table[by] == value], value if isinstance(value, str) else f"{value:g}"
        ax.plot(rows[x], rows[y], MARKS[place % len(MARKS)], color=colour, markersize=size, label=label)


def across(ax: Axes, table: pd.DataFrame, colours, **line) -> None:
    """Each row as a line over the columns, named under the axis; rows of one index have one name in the legend.

    Args:
        colours: by value of the index; or a function of it.
    """
    colour, named = getattr(colours, "__getitem__", colours), set()
    line = {"markersize": 3, "linewidth": 1, "alpha": 0.8} | line
    for name, values in zip(table.index, table.to_numpy()):
        ax.plot(values, "o-", color=colour(name), label="" if name in named else name, **line)
        named.add(name)
    ax.set_xticks(range(table.shape[1]), list(table.columns))


def below(ax: Axes, title: str = "") -> None:
    """A small legend of two columns under a panel."""
    small = {"fontsize": "x-small", "title_fontsize": "x-small"}
    ax.legend(title=title, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, **small)


def ticks(ax: Axes, at: Sequence[float | int]) -> None:
    """A logarithmic horizontal axis with ticks at these places alone, as plain numbers."""
    ax.set_xscale("log")
    ax.set_xticks(at, [f"{tick:g}" for tick in at], minor=False)
    ax.minorticks_off()


def from_top(ax: Axes, names: Sequence[str]) -> None:
    """Names of rows beside a panel, the first at the top; panels may share the axis."""
    ax.set_yticks(range(len(names)), names)
    if not ax.yaxis_inverted():
        ax.invert_yaxis()


def dotted(axes, x: float | int | None = None, y: float | int | None = None, colour="black") -> None:
    """A thin dotted line for reference, upright at x or level at y, in one panel or each of several."""
    for ax in np.ravel(axes):
        for line, at in ((ax.axvline, x), (ax.axhline, y)):
            if at is not None:
                line(at, color=colour, linestyle=":", linewidth=1)


def level(ax: Axes, y: float, name: str, colour, at: float) -> None:
    """A dotted line at a height, with its name just above it, from x = `at` on."""
    dotted(ax, y=y, colour=colour)
    ax.annotate(name, (at, y), xytext=(0, 4), textcoords="offset points", fontsize="small", color=colour)
