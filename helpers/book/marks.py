"""Marks on a panel: dots, one a network, scattered or joined; a named level; plain ticks; a legend below."""

from collections.abc import Sequence

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


def ticks(ax: Axes, at: Sequence[int]) -> None:
    """Ticks at these places alone of a logarithmic x-axis, as plain numbers."""
    ax.set_xticks(at, at, minor=False)
    ax.minorticks_off()


def level(ax: Axes, y: float, name: str, colour, at: float) -> None:
    """A dotted line at a height, with its name just above it, from x = `at` on."""
    ax.axhline(y, linestyle=":", color=colour, linewidth=1)
    ax.annotate(name, (at, y), xytext=(0, 4), textcoords="offset points", fontsize="small", color=colour)
