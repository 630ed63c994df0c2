"""The house style of plots: one visual language, colours that survive colour-blindness, figures as wide as the text."""

import io

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from IPython.display import Image
from matplotlib.figure import Figure
from matplotlib_inline.backend_inline import set_matplotlib_formats

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
