"""Figures layer by layer: points in their order with their names, dots at ends, bars that add up, pictures beside."""

from figures_shared import *  # noqa: F403

from helpers.book import layered

NAMES = {"conv1": "conv", "fc": "logits"}
ROWS = pd.DataFrame({
    "point": ["fc", "conv1", "extra"] * 4, "net": ["a"] * 6 + ["b"] * 6,
    "error": [3.0, 1, 2, 3, 1, 4, 6, 5, 7, 6, 5, 9],
})  # fmt: skip


def ticks(ax):
    return [tick.get_text() for tick in ax.get_xticklabels()]


def test_points_are_placed_in_the_order_of_the_table():
    assert layered.placed(ROWS)["place"].tolist() == [0, 1, 2] * 4
    assert layered.placed(ROWS, "net")["place"].tolist() == [0] * 6 + [1] * 6


def test_bands_stand_at_the_places_of_their_points_under_their_names(ax):
    colours = {"b": "red", "a": "blue"}
    layered.bands(ax, ROWS, "error", "net", colours, NAMES, {"a": "first"}, dashed=["a"])
    assert ticks(ax) == ["logits", "conv", "extra"]
    drawn = [line for line in ax.lines if len(line.get_xdata())]
    assert [list(line.get_ydata()) for line in drawn] == [[6, 5, 8], [3, 1, 3]]
    assert [line.get_linestyle() for line in drawn] == ["-", "--"]
    assert ax.get_legend_handles_labels()[1] == ["b", "first"]


def test_curves_have_names_and_a_level_in_every_panel():
    panels = [figures.Panel(ROWS, "error", "all"), figures.Panel(ROWS[ROWS["point"] != "extra"], "error")]
    _, axes = layered.curves(panels, "net", {"a": "blue", "b": "red"}, NAMES, level=2, sharey=True)
    assert [ticks(ax) for ax in axes[0]] == [["logits", "conv", "extra"], ["logits", "conv"]]
    for ax in axes[0]:
        assert list(ax.lines[-1].get_ydata()) == [2, 2] and ax.lines[-1].get_linestyle() == ":"
        assert ax.get_xlabel() == ""
    assert [text.get_text() for text in axes[0, 1].get_legend().get_texts()] == ["a", "b"]
    _, axes = layered.curves(panels, "net", {"a": "blue"}, NAMES)
    assert all(line.get_linestyle() != ":" for line in axes[0, 0].lines)


def test_shaded_lines_have_dots_at_their_ends_and_scales_of_their_own():
    lines = {"early": ([1, 2], [3, 4]), "late": ([5, 6], [7, 8])}
    panels = {"one": lines, "two": {"early": ([1], [2])}}
    _, axes = layered.shaded(panels, "x", "y", ends=8, line={"linewidth": 3}, xscale="log")
    assert [ax.get_title("left") for ax in axes[0]] == ["one", "two"] and axes[0, 1].get_xscale() == "log"
    assert [ax.get_ylabel() for ax in axes[0]] == ["y", ""] and axes[0, 1].get_xlabel() == "x"
    dots = [line for line in axes[0, 0].lines if line.get_markersize() == 8]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in dots] == [(2, 4), (6, 8)]
    assert [line.get_color() for line in dots] == figures.depth_colours(2)
    assert axes[0, 0].lines[0].get_linewidth() == 3 and axes[0, 1].get_legend()
    _, axes = layered.shaded(panels, "x", "y")
    assert len(axes[0, 0].lines) == 2


def test_stacked_bars_stand_on_each_other():
    table = pd.DataFrame({"unused": [9, 9], "low": [0.25, 0.5], "high": [0.75, 0.5]}, index=["conv1", "fc"])
    _, axes = layered.stacked({"one": table, "two": table}, {"low": "lost", "high": "seen"}, NAMES, "share")
    bars = [(bar.get_y(), bar.get_height()) for bar in axes[0, 0].patches]
    assert bars == [(0, 0.25), (0, 0.5), (0.25, 0.75), (0.5, 0.5)]
    assert ticks(axes[0, 1]) == ["conv", "logits"]
    assert [text.get_text() for text in axes[0, 1].get_legend().get_texts()] == ["lost", "seen"]
    assert axes[0, 0].patches[0].get_facecolor()[:3] == figures.depth_colours(2)[1]


@pytest.mark.parametrize("first", [True, False])
def test_pictures_stand_beside_a_panel_whose_legend_is_under_it(first):
    pictures = [[np.full((1, 4, 4), 0.5)] * 3] * 2
    ax, axes = layered.pictured(pictures, ["a", "b", "c"], ["one", "two"], (2, 1), first=first)
    assert axes.shape == (2, 3) and axes[0, 1].get_title() == "b" and axes[1, 0].get_ylabel() == "two"
    ax.plot([1, 2], [1, 2], label="line")
    layered.below(ax, "title", "error", fontsize="small")
    assert (ax.get_title("left"), ax.get_ylabel(), ax.get_ylim()[0]) == ("title", "error", -0.03)
    plt.gcf().canvas.draw()
    left, right = (axes[0, 2], ax) if first else (ax, axes[0, 0])
    assert left.get_window_extent().x1 <= right.get_window_extent().x0
    (legend,) = ax.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["line"]
    assert legend.get_window_extent().y1 <= ax.get_window_extent().y0


def test_lines_are_lists_against_each_other_or_against_numbers():
    rows = pd.DataFrame({"point": ["conv1", "fc"], "x": [[1, 2], [3]], "y": [[5, 6], [7]]})
    double = lambda values: [2 * value for value in values]
    assert layered.lines(rows, "y", NAMES, "x", double) == {"conv": ([2, 4], [10, 12]), "logits": ([6], [14])}
    numbered = layered.lines(rows, "y", {})
    assert [list(x) for x, _ in numbered.values()] == [[1, 2], [1]] and list(numbered) == ["conv1", "fc"]


def test_styled_measures_and_marks_are_named_once_in_the_last_colour(ax):
    colours = {"a": (1, 0, 0), "b": (0, 0, 1)}
    drawn = {"solid": (ROWS, "error", "o", "-"), "dots": (ROWS, "error", "s", ":")}
    layered.styled(ax, drawn, "net", colours, NAMES)
    lines = [line for line in ax.lines if len(line.get_xdata())]
    assert [line.get_linestyle() for line in lines] == ["-", "-", ":", ":"]
    assert [line.get_color() for line in lines] == [(1, 0, 0), (0, 0, 1)] * 2
    heights = pd.Series({("x", "a"): 1.0, ("x", "b"): 2.0, ("y", "a"): 9.0})
    layered.marked(ax, 4, heights, {"x": ("*", "the x")}, colours)
    marks = [(line.get_xdata()[0], line.get_ydata()[0], line.get_color()) for line in ax.lines[-3:-1]]
    assert marks == [(4, 1, (1, 0, 0)), (4, 2, (0, 0, 1))] and ax.lines[-2].get_marker() == "*"
    handles, labels = ax.get_legend_handles_labels()
    assert labels == ["solid", "dots", "the x"] and {handle.get_color() for handle in handles} == {(0, 0, 1)}


def test_a_legend_may_be_in_the_first_panel():
    panels = [figures.Panel(ROWS, "error")] * 2
    _, axes = layered.curves(panels, "net", {"a": "blue", "b": "red"}, NAMES, legend="first")
    assert axes[0, 1].get_legend() is None
    assert [text.get_text() for text in axes[0, 0].get_legend().get_texts()] == ["a", "b"]


def test_a_corner_is_above_one_line_and_left_of_the_other(ax):
    layered.corner(ax, 0.25, 8, at=2)
    x, y = ax.collections[0].get_paths()[0].vertices.T
    assert (x.min(), x.max(), y.min(), y.max()) == (0.25, 2, 2, 8)
    assert list(ax.lines[0].get_xdata()) == [2, 2] and list(ax.lines[1].get_ydata()) == [2, 2]


def test_what_is_found_stands_beside_what_is_expected(ax):
    found = pd.DataFrame({"one": [1.0, 2.0], "two": [3.0, 4.0]}, index=[0.5, 1.5])
    layered.expected(ax, np.array([0, 1]), np.array([5, 6]), "law", found, {"two": "x", "one": "o"})
    assert [line.get_label() for line in ax.lines] == ["law", "two", "one"]
    assert ax.lines[0].get_color() == "black" and list(ax.lines[0].get_ydata()) == [5, 6]
    assert list(ax.lines[1].get_xdata()) == [0.5, 1.5] and list(ax.lines[1].get_ydata()) == [3, 4]
    assert ax.lines[1].get_marker() == "x" and ax.lines[1].get_linestyle() == "None"


def test_keys_are_levels_and_colours(ax):
    layered.keys(ax, {"mean": 0.5, "nearest": 0.25}, {"a": "red"}, {"a": "first"})
    assert ax.get_legend_handles_labels()[1] == ["mean", "nearest", "first"]
    assert [line.get_linestyle() for line in ax.lines] == ["-", ":", "-"]
    assert list(ax.lines[1].get_ydata()) == [0.25, 0.25] and ax.lines[2].get_color() == "red"
