"""Figures layer by layer: curves, bars and shaded lines along the points of a network, pictures beside them.

Tables have a column `point`, in the order in which points stand; `names` says what they are called under an axis.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers.book import figures
from helpers.book.figures import Panel

Drawn = tuple[Figure, np.ndarray]


def placed(rows: pd.DataFrame, column: str = "point") -> pd.DataFrame:
    """The rows with their `place`: the number of the column's value, in the order of the table."""
    order = list(dict.fromkeys(rows[column]))
    return rows.assign(place=rows[column].map(order.index))


def named(ax: Axes, points: Iterable[str], names: Mapping[str, str]) -> None:
    """The points' names under the axis, each once; its own where it has none."""
    figures.along(ax, [names.get(point, point) for point in dict.fromkeys(points)])


def bands(
    ax: Axes, rows: pd.DataFrame, y: str, by: str, colours: Mapping, names: Mapping[str, str],
    labels: Mapping | None = None, dashed: Sequence = (), legend: bool = True, **line,
) -> None:  # fmt: skip
    """`figures.bands` along the points."""
    figures.bands(ax, placed(rows), "place", y, by, colours, labels, dashed, legend, **line)
    named(ax, rows["point"], names)


def curves(
    panels: Sequence[Panel], by: str, colours: Mapping, names: Mapping[str, str], level: float | int | None = None,
    **options,
) -> Drawn:  # fmt: skip
    """`figures.curves` along the points, with a dotted line at a level; the legend may be in the `first` panel."""
    along = [panel._replace(rows=placed(panel.rows), x="place", xlabel="", level=level) for panel in panels]
    in_first = options.get("legend") == "first"
    fig, axes = figures.curves(along, by, colours, **options | ({"legend": "inside"} if in_first else {}))
    if in_first:
        axes[0, -1].get_legend().remove()
        axes[0, 0].legend(fontsize="small")
    for ax, panel in zip(axes.flat, panels):
        named(ax, panel.rows["point"], names)
    return fig, axes


def shaded(
    panels: Mapping[str, Mapping[str, tuple]], xlabel: str, ylabel: str, style: str | Sequence[str] = "-",
    ends: float | int = 0, sharex: bool = False, line: Mapping | None = None, **axis,
) -> Drawn:  # fmt: skip
    """Panels by title of `figures.shaded` lines, one a layer, which are named beside the last.

    Args:
        ends: size of a dot at the end of each line.
        line: options of the lines, as `markersize`.
        axis: set on each panel, as `xscale` and `ylim`.
    """
    fig, axes = figures.panels(len(panels), height=3.0, sharex=sharex, sharey=True)
    for ax, (title, lines) in zip(axes[0], panels.items()):
        figures.shaded(ax, lines, style, **(line or {}))
        for drawn in list(ax.lines) if ends else ():
            x, y = drawn.get_data()
            ax.plot(x[-1], y[-1], "o", color=drawn.get_color(), markersize=ends)
        ax.set(xlabel=xlabel, title=title, **axis)
    axes[0, 0].set_ylabel(ylabel)
    figures.beside(axes[0, -1])
    return fig, axes


def lines(
    rows: pd.DataFrame, y: str, names: Mapping[str, str], x: str = "", of: Callable = np.asarray
) -> dict[str, tuple]:  # fmt: skip
    """For `shaded`: of each row, named by its point, a list of numbers against another, or against 1, 2, ..."""
    against = [range(1, len(values) + 1) for values in rows[y]] if not x else map(of, rows[x])
    return {names.get(p, p): (a, of(b)) for p, a, b in zip(rows["point"], against, rows[y])}


def corner(ax: Axes, left: float | int, top: float | int, at: float | int = 1) -> None:
    """Dotted lines at a value of both axes, and a shade in the corner above one and left of the other."""
    ax.fill_between([left, at], at, top, color="black", alpha=0.06, linewidth=0)
    figures.dotted(ax, at, at)


def expected(
    ax: Axes, x: np.ndarray, y: np.ndarray, name: str, found: pd.DataFrame, markers: Mapping[str, str]
) -> None:  # fmt: skip
    """A black line that is expected, and beside it, with a shade and a marker each, columns of what was found."""
    ax.plot(x, y, color="black", linewidth=1, label=name)
    lines = {column: (found.index, found[column]) for column in markers}
    figures.shaded(ax, lines, list(markers.values()), linestyle="")


def keys(ax: Axes, levels: Mapping[str, float], colours: Mapping, labels: Mapping) -> None:
    """Thin black levels with their labels, solid, dotted and so on, and what colours are, for the legend."""
    for (label, height), line in zip(levels.items(), ("-", ":", "--", "-.")):
        ax.axhline(height, linestyle=line, label=label, color="black", linewidth=0.8)
    for name, colour in colours.items():
        ax.plot([], [], color=colour, linewidth=4, label=labels[name])


def stacked(
    panels: Mapping[str, pd.DataFrame], parts: Mapping[str, str], names: Mapping[str, str], ylabel: str
) -> Drawn:  # fmt: skip
    """Panels by title of stacked bars, one a point (the index): columns by label, the first lowest and dark."""
    fig, axes = figures.panels(len(panels), height=2.8, sharey=True)
    for ax, (title, table) in zip(axes[0], panels.items()):
        heights = table[list(parts)]
        bottom = heights.cumsum(axis=1) - heights
        for (column, label), colour in zip(parts.items(), figures.depth_colours(len(parts))[::-1]):
            ax.bar(range(len(table)), heights[column], bottom=bottom[column], color=colour, label=label)
        named(ax, table.index, names)
        ax.set_title(title)
    axes[0, 0].set_ylabel(ylabel)
    figures.beside(axes[0, -1])
    return fig, axes


def styled(
    ax: Axes, drawn: Mapping[str, tuple[pd.DataFrame, str, str, str]], by: str, colours: Mapping,
    names: Mapping[str, str],
) -> None:  # fmt: skip
    """Several measures along the points: by label, rows, column, marker and line style; colours by value of a column.

    The legend has the labels in the last colour.
    """
    for label, (rows, y, marker, line) in drawn.items():
        style = {"marker": marker, "linestyle": line}
        bands(ax, rows, y, by, colours, names, dict.fromkeys(colours, ""), legend=False, **style)
        ax.plot([], [], color=list(colours.values())[-1], label=label, **style)


def marked(
    ax: Axes, place: float | int, heights: pd.Series, marks: Mapping[str, tuple[str, str]], colours: Mapping
) -> None:  # fmt: skip
    """Large marks at one place: heights by name, which has a marker and a label, and by group, which has a colour."""
    for name, (marker, label) in marks.items():
        style = {"marker": marker, "linestyle": "", "markeredgecolor": "black"}
        for group, colour in colours.items():
            ax.plot(place, heights[name, group], color=colour, markersize=11, **style)
        ax.plot([], [], color=list(colours.values())[-1], label=label, markersize=9, **style)


def pictured(
    pictures: Sequence[Sequence], above: Sequence[str], sides: Sequence[str], ratios: tuple[float | int, float | int],
    first: bool = True, **options,
) -> tuple[Axes, np.ndarray]:  # fmt: skip
    """One panel beside a `gallery` of pictures, which comes `first` or second; axes of the panel and of these."""
    halves = plt.figure(figsize=(8.4, 4.2)).subfigures(1, 2, width_ratios=ratios)
    of_pictures, of_panel = halves if first else halves[::-1]
    axes = of_pictures.subplots(len(pictures), len(pictures[0]))
    figures.gallery(axes, pictures, above, sides, **options)
    return of_panel.subplots(), axes


def below(ax: Axes, title: str, ylabel: str, fontsize: str = "small") -> None:
    """What a panel of errors shows, from just below zero, and its legend under it, in two columns."""
    ax.set(title=title, ylabel=ylabel, ylim=(-0.03, None))
    ax.figure.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=fontsize)
