"""Curves with bands: means over seeds and their intervals, a panel or a grid of panels, with labels and legends."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.book.marks import dotted
from helpers.book.style import ARMS, depth_colours, panels
from helpers.verdicts.intervals import t_interval


def band(
    ax: Axes, table: pd.DataFrame, x: str, y: str, colour, label: str = "", arm: str = "corrected", **line
) -> None:  # fmt: skip
    """Mean over seeds with its 95 % t-interval, the label at the line's end; y may be undefined at some x.

    The interval is taken on the scale on which the axis is drawn, so that on a logarithmic one it stays positive.
    """
    log = ax.get_yscale() == "log"
    values = table.assign(value=np.log10(table[y].where(table[y] > 0)) if log else table[y]).dropna(subset="value")
    rows = [(at, t_interval(part.to_numpy())) for at, part in values.groupby(x)["value"]]
    if not rows:
        return
    scale = (lambda v: 10.0 ** np.asarray(v)) if log else np.asarray
    at = [row[0] for row in rows]
    low, mid, high = (scale([getattr(row[1], name) for row in rows]) for name in ("low", "estimate", "high"))
    ax.plot(at, mid, color=colour, **(ARMS[arm] | {"markeredgecolor": colour} | line))
    ax.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0)
    if label:
        ax.annotate(label, (at[-1], mid[-1]), xytext=(5, 0), textcoords="offset points", color=colour,
                    va="center", fontsize="small", annotation_clip=False)  # fmt: skip


def bands(
    ax: Axes, table: pd.DataFrame, x: str, y: str, by: str, colours: Mapping | None = None,
    labels: Mapping | None = None, dashed: Iterable = (), legend: bool = False, styles: Mapping | None = None, **line,
) -> None:  # fmt: skip
    """A `band` for each value of the column `by`, in the order of `colours`, or of the table.

    Args:
        colours: by value; shades of depth where there are none. Values that are not among them are not drawn.
        labels: by value; the value itself where there is none. They stand at the lines' ends, or in the legend.
        dashed: values that are drawn as published, hollow and dashed.
        legend: label the lines for a legend, which the caller places.
        styles: by value, what else its line is drawn with.
    """
    if colours is None:
        values = list(dict.fromkeys(table[by]))
        colours = dict(zip(values, depth_colours(len(values))))
    for value, colour in colours.items():
        rows = table[table[by] == value]
        if not len(rows):
            continue
        arm, label = "faithful" if value in dashed else "corrected", (labels or {}).get(value, str(value))
        how = line | (styles or {}).get(value, {})
        band(ax, rows, x, y, colour, "" if legend else label, arm, **how)
        if legend:
            ax.plot([], [], color=colour, label=label, **(ARMS[arm] | {"markeredgecolor": colour} | how))


class Panel(NamedTuple):
    """One panel of `curves`: a column of a table against another, and how its axes are labelled.

    With a `by` of its own it has its own colours and labels, too; with a `legend` (options of one, such as `loc`) its
    own legend, inside; with a `level` a dotted line at that height.
    """

    rows: pd.DataFrame
    y: str
    title: str = ""
    ylabel: str = ""
    x: str = "depth"
    xlabel: str = "relative depth"
    scale: str = "linear"
    ylim: tuple | None = None
    dashed: Iterable = ()
    xscale: str = "linear"
    styles: Mapping | None = None
    by: str = ""
    colours: Mapping | None = None
    labels: Mapping | None = None
    legend: Mapping | None = None
    level: float | int | None = None


def curves(
    panels_of: Sequence[Panel], by: str = "", colours: Mapping | None = None, labels: Mapping | None = None,
    legend: str = "beside", rows: int = 1, height: float = 3.0, **options,
) -> tuple[Figure, np.ndarray]:  # fmt: skip
    """A figure of panels, row by row, each with a band for each value of the column `by`; figure and axes.

    Args:
        legend: where the values are named once: `beside` the first row's last panel, `inside` it, at the `ends` of the
            lines of the last panel, or nowhere.
        options: of `panels`, such as `sharey`, and of `bands`, such as `marker`.
    """
    shared = {name: options.pop(name) for name in ("sharex", "sharey", "width_ratios") if name in options}
    fig, axes = panels(math.ceil(len(panels_of) / rows), height=height, rows=rows, **shared)
    for ax, panel in zip(axes.flat, panels_of):
        ax.set(xscale=panel.xscale, yscale=panel.scale)
        in_legend = legend in ("beside", "inside") or panel.legend is not None
        named = in_legend or legend == "ends" and panel is panels_of[-1]
        if not panel.by:
            panel = panel._replace(by=by, colours=colours, labels=labels)
        words = panel.labels if named else dict.fromkeys(panel.rows[panel.by], "")
        drawn = panel.by, panel.colours, words, panel.dashed, in_legend, panel.styles
        bands(ax, panel.rows, panel.x, panel.y, *drawn, **options)
        named_below = not shared.get("sharex") or ax in axes[-1]
        ax.set(xlabel=panel.xlabel if named_below else "", ylabel=panel.ylabel, title=panel.title)
        if panel.level is not None:
            dotted(ax, y=panel.level)
        if panel.ylim:
            ax.set_ylim(panel.ylim)
        if panel.legend is not None:
            ax.legend(**{"fontsize": "small", **panel.legend})
    if legend == "beside":
        beside(axes[0, -1])
    elif legend == "inside":
        axes[0, -1].legend(fontsize="small")
    elif legend == "ends":
        room(axes)
    return fig, axes


def shaded(ax: Axes, lines: Mapping[str, tuple], style: str | Sequence[str] = "-", **options) -> None:
    """Lines (x, y) by name for an ordered quantity, early light and late dark, named for a legend."""
    styles = [style] * len(lines) if isinstance(style, str) else style
    for (name, (x, y)), how, colour in zip(lines.items(), styles, depth_colours(len(lines))):
        ax.plot(x, y, how, color=colour, label=name, **options)


def beside(ax: Axes, **options) -> None:
    """The legend to the right of a panel."""
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), **options)


def room(axes, share: float = 0.3) -> None:
    """Room at the right of each panel for the labels at the lines' ends, without ticks in it."""
    limits = [(ax, *ax.get_xlim(), ax.get_xticks()) for ax in np.ravel(axes)]
    for ax, low, high, ticks in limits:
        log = ax.get_xscale() == "log"
        ax.set_xlim(low, high * (high / low) ** share if log else high + share * (high - low))
        if not log:
            ax.set_xticks([tick for tick in ticks if low <= tick <= high])
