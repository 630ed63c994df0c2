"""The house style of plots: one visual language, colours that survive colour-blindness, intervals as bands."""

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats

from helpers.book.contrasts import dotted as dotted
from helpers.book.contrasts import heat as heat
from helpers.book.contrasts import ratios as ratios
from helpers.book.contrasts import signed as signed
from helpers.book.pictures import ends as ends
from helpers.book.pictures import gallery as gallery
from helpers.book.pictures import image as image
from helpers.book.pictures import matrix as matrix
from helpers.book.pictures import trail as trail
from helpers.verdicts.intervals import t_interval

_BLUE, _ORANGE, _GREEN, _VERMILION, _PURPLE, _BROWN, _PINK, _GREY, _, _SKY = sns.color_palette("colorblind")
# The palette's yellow is too faint for a line; a dark one, lest the colour-blind take it for vermilion.
_DARK_YELLOW = (0.4, 1 / 3, 0.0)
# One colour each in all chapters.
COLOURS = {
    "untrained": _GREY,
    "trained": _BLUE,
    "plain": _BLUE,
    "augment": _GREEN,
    "mixup": _ORANGE,
    "manifold": _PURPLE,
    "noise": _BROWN,
    "no decay": _VERMILION,
    "geometric": _SKY,
    "photometric": _PINK,
    "input noise": _DARK_YELLOW,
    "adversarial": _VERMILION,
    "resnet": _BLUE,
    "vgg": _ORANGE,
    "plainnet": _GREEN,
    "mlp": _PURPLE,
    "cnn": _BROWN,
    "relu": _BLUE,
    "gelu": _VERMILION,
}
ARMS = {  # faithful is hollow and dashed, corrected filled and solid
    "faithful": {"linestyle": "--", "marker": "o", "markerfacecolor": "white"},
    "corrected": {"linestyle": "-", "marker": "o"},
}


def style() -> None:
    """White ground, no chart junk, SVG whose bytes depend on nothing but the data."""
    sns.set_theme(context="notebook", style="ticks", palette="colorblind", font_scale=0.9)
    plt.rcParams |= {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "figure.dpi": 96,
        "figure.facecolor": "white",
        "figure.constrained_layout.use": True,
        "legend.frameon": False,
        "lines.markersize": 5,
        "savefig.facecolor": "white",
        "svg.fonttype": "path",  # the same letters on every machine
        "svg.hashsalt": "layer-by-layer",
    }
    set_matplotlib_formats("svg", metadata={"Date": None})


def colour_of(model: str) -> tuple[float, float, float]:
    """The colour of an architecture's family; grey for one that has none."""
    family = next((family for family in ("resnet", "vgg", "plain", "mlp", "cnn") if model.startswith(family)), "")
    return COLOURS.get("plainnet" if family == "plain" else family, _GREY)


def depth_colours(count: int) -> list[tuple[float, float, float]]:
    """`count` shades for an ordered quantity, early light and late dark."""
    return sns.color_palette("crest", count)


def panels(columns: int, height: float = 3.2, rows: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """A grid (rows, columns) of axes as wide as the page's text."""
    return plt.subplots(rows, columns, figsize=(8.4, height * rows), squeeze=False, **options)


def picture(figure: Figure) -> Image:
    """A figure that is a picture rather than lines: a PNG with twice the pixels that it is shown at."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=192, metadata={"Software": None})
    plt.close(figure)
    return Image(buffer.getvalue(), width=int(figure.get_figwidth() * 96))


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
    labels: Mapping | None = None, dashed: Iterable = (), legend: bool = False, **line,
) -> None:  # fmt: skip
    """A `band` for each value of the column `by`, in the order of `colours`, or of the table.

    Args:
        colours: by value; shades of depth where there are none. Values that are not among them are not drawn.
        labels: by value; the value itself where there is none. They stand at the lines' ends, or in the legend.
        dashed: values that are drawn as published, hollow and dashed.
        legend: label the lines for a legend, which the caller places.
    """
    if colours is None:
        values = list(dict.fromkeys(table[by]))
        colours = dict(zip(values, depth_colours(len(values))))
    for value, colour in colours.items():
        rows = table[table[by] == value]
        if not len(rows):
            continue
        arm, label = "faithful" if value in dashed else "corrected", (labels or {}).get(value, str(value))
        band(ax, rows, x, y, colour, "" if legend else label, arm, **line)
        if legend:
            ax.plot([], [], color=colour, label=label, **(ARMS[arm] | {"markeredgecolor": colour} | line))


class Panel(NamedTuple):
    """One panel of `curves`: a column of a table against another, and how its axes are labelled."""

    rows: pd.DataFrame
    y: str
    title: str = ""
    ylabel: str = ""
    x: str = "depth"
    xlabel: str = "relative depth"
    scale: str = "linear"
    ylim: tuple | None = None
    dashed: Iterable = ()


def curves(
    panels_of: Sequence[Panel], by: str, colours: Mapping | None = None, labels: Mapping | None = None,
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
        ax.set_yscale(panel.scale)
        named = legend == "ends" and panel is panels_of[-1]
        words = labels if named or legend in ("beside", "inside") else dict.fromkeys(panel.rows[by], "")
        in_legend = legend in ("beside", "inside")
        bands(ax, panel.rows, panel.x, panel.y, by, colours, words, panel.dashed, in_legend, **options)
        ax.set(xlabel=panel.xlabel, ylabel=panel.ylabel, title=panel.title)
        if panel.ylim:
            ax.set_ylim(panel.ylim)
    if legend == "beside":
        beside(axes[0, -1])
    elif legend == "inside":
        axes[0, -1].legend(fontsize="small")
    elif legend == "ends":
        room(axes)
    return fig, axes


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
    ax.set_yticks(range(len(names)), names)
    if not ax.yaxis_inverted():
        ax.invert_yaxis()


def along(ax: Axes, names: Sequence[str]) -> None:
    """Names of points in order under the axis, in place of numbers."""
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right")


def beside(ax: Axes, **options) -> None:
    """The legend to the right of a panel."""
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5), **options)


def shaded(ax: Axes, lines: Mapping[str, tuple], style: str | Sequence[str] = "-", **options) -> None:
    """Lines (x, y) by name for an ordered quantity, early light and late dark, named for a legend."""
    styles = [style] * len(lines) if isinstance(style, str) else style
    for (name, (x, y)), how, colour in zip(lines.items(), styles, depth_colours(len(lines))):
        ax.plot(x, y, how, color=colour, label=name, **options)


def room(axes, share: float = 0.3) -> None:
    """Room at the right of each panel for the labels at the lines' ends, without ticks in it."""
    limits = [(ax, *ax.get_xlim(), ax.get_xticks()) for ax in np.ravel(axes)]
    for ax, low, high, ticks in limits:
        log = ax.get_xscale() == "log"
        ax.set_xlim(low, high * (high / low) ** share if log else high + share * (high - low))
        if not log:
            ax.set_xticks([tick for tick in ticks if low <= tick <= high])


def forest(ax: Axes, table: pd.DataFrame, register: Mapping) -> None:
    """Estimate and interval of each judged claim, one row a claim; faithful hollow, corrected filled; bounds as ticks."""
    table = table.dropna(subset="estimate")
    names = list(dict.fromkeys(table["claim"]))
    for _, row in table.iterrows():
        hollow = row["arm"] == "faithful"
        y = names.index(row["claim"]) + (-0.15 if hollow else 0.15)
        ax.plot([row["low"], row["high"]], [y, y], color=_BLUE, linestyle="--" if hollow else "-", linewidth=1.8)
        ax.plot(row["estimate"], y, "o", color=_BLUE, markerfacecolor="white" if hollow else _BLUE)
    for y, name in enumerate(names):
        rule = next(iter(register[name].rules.values()))
        ticks = (-rule.bound, rule.bound) if rule.kind == "within" else (rule.bound,)
        ax.plot(ticks, [y] * len(ticks), "|", color="black", markersize=18)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
