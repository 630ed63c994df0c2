"""The house style of plots: one visual language, colours that survive colour-blindness, intervals as bands."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats

from helpers import claims

_BLUE, _ORANGE, _GREEN, _VERMILION, _PURPLE, _BROWN, _PINK, _GREY, _YELLOW, _SKY = sns.color_palette("colorblind")
# One colour each in all chapters.
COLOURS = {
    "untrained": _GREY,
    "trained": _BLUE,
    "plain": _BLUE,
    "augment": _GREEN,
    "mixup": _ORANGE,
    "manifold": _PURPLE,
    "noise": _BROWN,
    "none": _VERMILION,
    "resnet": _BLUE,
    "vgg": _ORANGE,
    "mlp": _PURPLE,
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


def panels(columns: int, height: float = 3.2, rows: int = 1, **options) -> tuple[Figure, np.ndarray]:
    """A row (or grid) of axes as wide as the page's text."""
    figure, axes = plt.subplots(rows, columns, figsize=(8.4, height * rows), squeeze=False, **options)
    return figure, axes if rows > 1 else axes[0]


def band(ax: Axes, table: pd.DataFrame, x: str, y: str, colour, label: str = "", arm: str = "corrected", **line) -> None:
    """Mean over seeds with its 95 % t-interval, the label at the line's end; y may be undefined at some x.

    The interval is taken on the scale on which the axis is drawn, so that on a logarithmic one it stays positive.
    """
    log = ax.get_yscale() == "log"
    values = table.assign(value=np.log10(table[y].where(table[y] > 0)) if log else table[y]).dropna(subset="value")
    rows = [(at, claims.t_interval(part.to_numpy())) for at, part in values.groupby(x)["value"]]
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


def spread(axes, log: float = 0.35) -> None:
    """Give every panel of a row the same limits, with room for the labels at the lines' ends."""
    for ax in np.ravel(axes):
        low, high = ax.get_xlim()
        ax.set_xlim(low, high + log * (high - low))


def forest(ax: Axes, table: pd.DataFrame, bounds: dict[str, float]) -> None:
    """Estimate and interval of each claim, one row a claim; faithful hollow, corrected filled; the bound as a tick."""
    names = list(dict.fromkeys(table["claim"]))
    for _, row in table.dropna(subset="estimate").iterrows():
        hollow = row["arm"] == "faithful"
        y = names.index(row["claim"]) + (-0.15 if hollow else 0.15)
        ax.plot([row["low"], row["high"]], [y, y], color=_BLUE, linestyle="--" if hollow else "-", linewidth=1.8)
        ax.plot(row["estimate"], y, "o", color=_BLUE, markerfacecolor="white" if hollow else _BLUE)
        ax.plot(bounds[row["claim"]], names.index(row["claim"]), "|", color="black", markersize=18)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
