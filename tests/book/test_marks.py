"""Marks on a panel, and panels of one figure that differ in what they compare."""

from figures_shared import *  # noqa: F403


def test_dots_have_a_mark_and_a_shade_for_each_group(ax):
    table = pd.DataFrame({"x": [1, 2, 3, 4], "y": [4, 3, 2, 1], "share": [0.20, 1.0, 0.20, 0.05]})
    figures.scatter(ax, table, "x", "y", "share")
    assert [list(line.get_xdata()) for line in ax.lines] == [[1, 3], [2], [4]]  # in the order of the table
    assert [line.get_label() for line in ax.lines] == ["0.2", "1", "0.05"]
    assert [line.get_marker() for line in ax.lines] == ["o", "s", "^"]
    assert [line.get_color() for line in ax.lines] == figures.depth_colours(3)
    assert {line.get_linestyle() for line in ax.lines} == {"None"}
    names = figures.panels(1)[1][0, 0]
    figures.scatter(names, table.assign(share=["vgg8", "cnn4", "vgg8", "cnn4"]), "x", "y", "share")
    assert [line.get_label() for line in names.lines] == ["vgg8", "cnn4"]


def test_rows_are_lines_over_named_places(ax):
    table = pd.DataFrame([[1, 2, 3], [3, 2, 1], [2, 2, 2]], index=["vgg8", "cnn4", "vgg8"], columns=["a", "b", "c"])
    figures.across(ax, table, figures.colour_of, linewidth=3)
    assert [list(line.get_ydata()) for line in ax.lines] == table.to_numpy().tolist()
    assert [line.get_color() for line in ax.lines] == [figures.colour_of(name) for name in table.index]
    assert ax.get_legend_handles_labels()[1] == ["vgg8", "cnn4"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a", "b", "c"]
    assert {line.get_linewidth() for line in ax.lines} == {3}
    same = figures.panels(1)[1][0, 0]
    figures.across(same, table, {"vgg8": "black", "cnn4": "red"})
    assert [line.get_color() for line in same.lines] == ["black", "red", "black"]


def test_a_level_has_its_name_where_it_begins(ax):
    figures.level(ax, 2.5, "limit", "red", 0.1)
    (line,), (text,) = ax.lines, ax.texts
    assert list(line.get_ydata()) == [2.5, 2.5] and line.get_linestyle() == ":" and line.get_color() == "red"
    assert text.get_text() == "limit" and text.xy == (0.1, 2.5) and text.xyann[1] > 0


def test_ticks_of_a_logarithmic_axis_are_plain_numbers(ax):
    ax.semilogx([4, 64], [0, 1])
    figures.ticks(ax, [4, 16, 64])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["4", "16", "64"]
    assert list(ax.get_xticks()) == [4, 16, 64] and not len(ax.get_xticks(minor=True))


def test_a_legend_may_stand_below_its_panel(ax):
    ax.plot([0, 1], label="one")
    figures.below(ax, "networks")
    ax.figure.canvas.draw()
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "networks"
    assert legend.get_window_extent().y1 <= ax.get_window_extent().y0


def test_panels_of_one_figure_may_compare_different_things():
    other = BOTH.rename(columns={"net": "kind"}).replace({"kind": {"a": "c", "b": "d"}})
    of = [
        figures.Panel(BOTH, "y", "first", scale="log", legend={"loc": "upper left"}, styles={"b": {"linestyle": ":"}}),
        figures.Panel(other, "y", by="kind", colours={"d": "red"}, labels={"d": "other"}, legend={"title": "kinds"}),
        figures.Panel(other.assign(depth=other["depth"] + 1), "y", by="kind", xscale="log"),
    ]
    _, axes = figures.curves(of, "net", {"a": "black", "b": "blue"}, legend="")
    first, second, third = axes[0]
    assert [line.get_color() for line in first.lines[::2]] == ["black", "blue"] and first.get_yscale() == "log"
    assert [line.get_linestyle() for line in first.lines] == ["-", "-", ":", ":"]  # the legend's, too
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["a", "b"]
    assert [text.get_text() for text in second.get_legend().get_texts()] == ["other"]
    assert second.get_legend().get_title().get_text() == "kinds" and {line.get_color() for line in second.lines} == {"red"}
    assert third.get_legend() is None and not third.texts and third.get_xscale() == "log"
    assert [line.get_color() for line in third.lines] == figures.depth_colours(2)


def test_the_figure_of_the_claims_is_their_forest():
    table = pd.DataFrame({"claim": ["C1"], "arm": ["faithful"], "estimate": [1.0], "low": [0.0], "high": [2.0]})
    rules = {"faithful": Rule("greater", "a quantity", margin=0.1)}
    judged = SimpleNamespace(verdicts=table, register={"C1": SimpleNamespace(rules=rules)})
    _, axes = figures.claims(judged)
    alone = figures.panels(1)[1][0, 0]
    figures.forest(alone, table, judged.register)
    assert [list(line.get_xdata()) for line in axes[0, 0].lines] == [list(line.get_xdata()) for line in alone.lines]
    assert axes[0, 0].get_xlabel() == "estimate (unit of each claim)" and axes[0, 0].get_title(loc="left")
