"""The house style of plots: one visual language, colours that survive colour-blindness, intervals as bands."""

import io
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from IPython import get_ipython
from IPython.display import Image, Markdown, display, publish_display_data
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats

from helpers.book import records
from helpers.verdicts import claims

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
    family = "plainnet" if model.startswith("plain") else next((f for f in ("resnet", "vgg", "mlp", "cnn") if model.startswith(f)), "")
    return COLOURS.get(family, _GREY)


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


def show(*texts: str) -> None:
    """Markdown on the page, with its citations and cross-references alive."""
    display(Markdown("\n\n".join(texts)))


def show_table(table: pd.DataFrame, caption: str) -> None:
    """A small table with a caption."""
    rows = ["| " + " | ".join(map(str, row)) + " |" for row in (table.columns, *table.to_numpy())]
    rows.insert(1, "| --- " * len(table.columns) + "|")
    show("\n".join([f"```{{table}} {caption}", *rows, "```"]))


def show_intervals(intervals: pd.DataFrame) -> None:
    """The table of `claims.intervals`."""
    estimates = [claims.spell(row) for row in intervals.itertuples()]
    show_table(intervals[["claim", "arm", "choice"]].assign(estimate=estimates), "Estimates with 95% intervals by claim, arm and choice")


def show_recorded(chapter: str, register: Mapping[str, claims.Claim]) -> None:
    """The verdicts of a chapter's recorded paper-scale run, or that there is none."""
    record = records.load(chapter, "claims")
    table = [claims.markdown(record.table, register, anchors=False)] if record is not None and len(record.table) else []
    show("### At the scale of the paper", records.badge(record), *table)


def glue(name: str, value) -> None:
    """Keep a value or figure for the prose, where {glue:text} or {glue:figure} puts it.

    What myst_nb.glue does, without the packages that only the site needs.
    """
    prefix = "application/papermill.record/"
    data, metadata = get_ipython().display_formatter.format(value)
    kept = {prefix + kind: content for kind, content in data.items()}
    publish_display_data(kept, {"scrapbook": {"name": name, "mime_prefix": prefix}} | metadata)
    if isinstance(value, Figure):
        plt.close(value)


def glue_verdicts(run, judged: pd.DataFrame, register: Mapping[str, claims.Claim]) -> None:
    """Keep for the prose the badge of a run and the `claims.counts` of its verdicts."""
    glue("badge", Markdown(records.badge(run)))
    for name, count in claims.counts(judged, register).items():
        glue(name, count)


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


def room(axes, share: float = 0.3) -> None:
    """Room at the right of each panel for the labels at the lines' ends, without ticks in it."""
    limits = [(ax, *ax.get_xlim(), ax.get_xticks()) for ax in np.ravel(axes)]
    for ax, low, high, ticks in limits:
        log = ax.get_xscale() == "log"
        ax.set_xlim(low, high * (high / low) ** share if log else high + share * (high - low))
        if not log:
            ax.set_xticks([tick for tick in ticks if low <= tick <= high])


def forest(ax: Axes, table: pd.DataFrame, bounds: dict[str, tuple[float, ...]]) -> None:
    """Estimate and interval of each judged claim, one row a claim; faithful hollow, corrected filled; bounds as ticks."""
    table = table.dropna(subset="estimate")
    names = list(dict.fromkeys(table["claim"]))
    for _, row in table.iterrows():
        hollow = row["arm"] == "faithful"
        y = names.index(row["claim"]) + (-0.15 if hollow else 0.15)
        ax.plot([row["low"], row["high"]], [y, y], color=_BLUE, linestyle="--" if hollow else "-", linewidth=1.8)
        ax.plot(row["estimate"], y, "o", color=_BLUE, markerfacecolor="white" if hollow else _BLUE)
    for y, name in enumerate(names):
        ax.plot(bounds[name], [y] * len(bounds[name]), "|", color="black", markersize=18)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
