"""What is looked at rather than read off: small pictures, tables as colours, trails with arrows."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes


def image(ax: Axes, picture, title: str = "", side: str = "", below: str = "", **limits) -> None:
    """A small picture (c, h, w) without axes, its values in [0, 1]; of one channel in grey, between limits if given."""
    picture = np.asarray(picture)
    limits = {"vmin": 0, "vmax": 1} | limits
    if len(picture) > 1:
        ax.imshow(picture.clip(0, 1).transpose(1, 2, 0))
    else:
        ax.imshow(picture[0], cmap="gray", **limits)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize="small", loc="center")
    ax.set_ylabel(side, fontsize="small")
    ax.set_xlabel(below, fontsize="small", labelpad=1)


def gallery(
    axes: np.ndarray, pictures: Sequence[Sequence], above: Sequence[str] = (), sides: Sequence[str] = (),
    below: Sequence[Sequence[str]] = (), size: str = "small",
) -> None:  # fmt: skip
    """A grid of small pictures: names above the first row and beside the first column, a word below each."""
    for i, (row, shown) in enumerate(zip(axes, pictures)):
        for j, (ax, picture) in enumerate(zip(row, shown)):
            image(ax, picture, side=sides[i] if sides and not j else "", below=below[i][j] if below else "")
    for ax, name in zip(axes[0], above):
        ax.set_title(name, fontsize=size, loc="center")


def matrix(ax: Axes, values: np.ndarray, names: Sequence[str], numbers: bool = True, **options):
    """A square table as colours, with its numbers on them; the image, for a colour bar."""
    shown = ax.imshow(values, **options)
    most = np.max(np.abs(values), where=np.isfinite(values), initial=0)
    for (i, j), value in np.ndenumerate(values) if numbers else ():
        spelled = "" if np.isnan(value) else f"{value:z.1f}".replace("-", "−")  # no −0.0
        ax.text(j, i, spelled, ha="center", va="center", fontsize="x-small",
                color="white" if abs(value) > 0.6 * most else "black")  # fmt: skip
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize="x-small")
    ax.set_yticks(range(len(names)), names, fontsize="x-small")
    return shown


def trail(ax: Axes, path: np.ndarray, colour, name: str) -> None:
    """A path of points (k, 2) as arrows in its order, named at its end, on the side to which it goes."""
    for a, b in zip(path[:-1], path[1:]):
        arrow = {"arrowstyle": "->", "color": colour, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", b, a, arrowprops=arrow)
    ax.plot(*path.T, ".", color=colour)
    to_right = path[-1, 0] > path[-2, 0]
    ax.annotate(name, path[-1], xytext=(8 if to_right else -8, 0), textcoords="offset points", color=colour, va="center",
                ha="left" if to_right else "right")  # fmt: skip


def ends(ax: Axes, first, last, names: Sequence[str] = ("input", "target")) -> None:
    """Where paths (x, y) begin, a square, and where they lead to, a star, with their names."""
    for place, name, mark in zip((first, last), names, "s*"):
        ax.plot(*place, mark, color="black", markersize=11, clip_on=False)
        ax.annotate(name, place, xytext=(8, 8), textcoords="offset points", fontsize="small")
