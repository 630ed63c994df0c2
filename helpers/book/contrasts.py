"""What is seen against a reference: changes of a picture, tables of logarithms, estimates beside a dotted line."""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from helpers.book.marks import dotted, from_top
from helpers.verdicts.intervals import t_interval


def signed(axes: np.ndarray, pictures: Mapping, plain: Collection[str] = ()) -> None:
    """Small pictures (c, h, w) by name, mean over channels: red above 0, blue below; `plain` ones from black to white.

    Panels that are left over stay empty.
    """
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, (name, picture) in zip(axes.flat, pictures.items()):
        shown = np.asarray(picture.mean(0))
        most = float(np.abs(shown).max())
        cmap, least = ("gray", 0) if name in plain else ("RdBu_r", -most)
        ax.imshow(shown, cmap=cmap, vmin=least, vmax=most)
        ax.set_title(name, fontsize="small")


def heat(axes: np.ndarray, tables: Mapping[str, pd.DataFrame], label: str, most: float | int) -> None:
    """Tables with the same columns as colours, one below the other, by title: red above 0, blue below.

    Names of rows stand beside each, those of columns under the last; one colour bar, `label` beside it, goes to plus or
    minus `most`.
    """
    for ax, (title, table) in zip(axes, tables.items()):
        shown = ax.imshow(table, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
        ax.set_yticks(range(len(table.index)), table.index, fontsize="small")
        ax.set_xticks(range(len(table.columns)), [""] * len(table.columns))
        ax.set_title(title)
    axes[-1].set_xticks(range(len(table.columns)), table.columns, rotation=40, ha="right", fontsize="small")
    ax.figure.colorbar(shown, ax=axes, label=label, shrink=0.6)


def ratios(
    ax: Axes, table: pd.DataFrame, y: str, row: str, by: str, colours: Mapping, spread: float | int = 0.5
) -> None:
    """Geometric means with their 95 % t-intervals on a logarithmic axis, base two, one row a value of the column `row`.

    Rows come from the top, in the order of the table; within one, `spread` apart from first to last, the values of the
    column `by`, in the order of their colours. A dotted line stands at one.
    """
    ax.set_xscale("log", base=2)
    names = list(dict.fromkeys(table[row]))
    for shift, (group, colour) in zip(np.linspace(-spread / 2, spread / 2, len(colours)), colours.items()):
        values = np.log2(table[table[by] == group].set_index(row)[y])
        found = [t_interval(values.loc[[name]]) for name in names]
        heights = np.arange(len(names)) + shift
        low, mid, high = (2.0 ** np.array([getattr(i, end) for i in found]) for end in ("low", "estimate", "high"))
        ax.plot([low, high], [heights, heights], color=colour)
        ax.plot(mid, heights, "o", color=colour, markersize=4, label=group)
    dotted(ax, x=1)
    from_top(ax, names)
