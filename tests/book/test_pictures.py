"""Bands, rows, matrices, galleries and trails: what is drawn, how it is named, and in which order."""

from figures_shared import *  # noqa: F403


def test_bands_are_a_band_for_each_value(ax):
    figures.bands(ax, BOTH, "depth", "y", "net")
    alone = figures.panels(1)[1][0, 0]
    for name, colour in zip("ab", figures.depth_colours(2)):
        figures.band(alone, BOTH[BOTH["net"] == name], "depth", "y", colour, name)
    assert [list(line.get_ydata()) for line in ax.lines] == [list(line.get_ydata()) for line in alone.lines]
    assert [line.get_color() for line in ax.lines] == figures.depth_colours(2)
    assert [text.get_text() for text in ax.texts] == ["a", "b"] and len(ax.collections) == 2
    assert ax.get_legend_handles_labels() == ([], [])


def test_bands_come_in_the_order_of_their_colours_and_no_others(ax):
    colours = {"b": figures.COLOURS["vgg"], "c": figures.COLOURS["mlp"], "a": figures.COLOURS["resnet"]}
    figures.bands(ax, BOTH, "depth", "y", "net", colours, labels={"b": "the other"}, dashed=["a"], linewidth=3)
    assert [line.get_color() for line in ax.lines] == [colours["b"], colours["a"]]  # of c there are no rows
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]
    assert [text.get_text() for text in ax.texts] == ["the other", "a"]
    assert {line.get_linewidth() for line in ax.lines} == {3}
    only = figures.panels(1)[1][0, 0]
    figures.bands(only, BOTH, "depth", "y", "net", {"a": figures.COLOURS["vgg"]})
    assert len(only.lines) == 1


def test_bands_may_have_a_legend_beside_the_panel(ax):
    figures.bands(ax, BOTH, "depth", "y", "net", labels={"a": "first"}, dashed="b", legend=True)
    figures.beside(ax, title="networks")
    legend = ax.get_legend()
    assert not ax.texts and [text.get_text() for text in legend.get_texts()] == ["first", "b"]
    assert [line.get_linestyle() for line in legend.get_lines()] == ["-", "--"]
    assert legend.get_title().get_text() == "networks"
    ax.figure.canvas.draw()
    assert legend.get_window_extent().x0 >= ax.get_window_extent().x1 - 1


def test_names_of_points_stand_under_the_axis(ax):
    figures.along(ax, ["input", "conv1", "fc"])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["input", "conv1", "fc"]
    assert list(ax.get_xticks()) == [0, 1, 2] and ax.get_xticklabels()[0].get_rotation() == 35


def test_a_small_picture_in_colour_or_grey(ax):
    colours = np.stack([np.full((4, 5), level) for level in (-0.5, 0.5, 1.5)])
    figures.image(ax, colours, "title", "side", "below")
    assert np.asarray(ax.images[0].get_array()).shape == (4, 5, 3)
    assert np.asarray(ax.images[0].get_array())[0, 0].tolist() == [0, 0.5, 1]  # clipped, channels last
    assert (ax.get_title(), ax.get_ylabel(), ax.get_xlabel()) == ("title", "side", "below")
    assert not len(ax.get_xticks()) and not any(spine.get_visible() for spine in ax.spines.values())
    grey = figures.panels(1)[1][0, 0]
    figures.image(grey, np.linspace(0.4, 0.6, 20).reshape(1, 4, 5))
    assert grey.images[0].get_array().shape == (4, 5) and grey.images[0].get_clim() == (0, 1)
    figures.image(grey, np.zeros((1, 4, 5)), vmin=-1)
    assert grey.images[1].get_clim() == (-1, 1) and grey.images[1].get_cmap().name == "gray"


def test_a_matrix_shows_its_numbers(ax):
    values = np.array([[1.0, -0.25], [-0.9, 0.0]])
    shown = figures.matrix(ax, values, ["a", "b"], vmin=-1, vmax=1, cmap="RdBu")
    assert shown.get_clim() == (-1, 1) and np.array_equal(shown.get_array(), values)
    assert [text.get_text() for text in ax.texts] == ["1.0", "−0.2", "−0.9", "0.0"]
    assert [text.get_position() for text in ax.texts] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert [text.get_color() for text in ax.texts] == ["white", "black", "white", "black"]
    for labels in (ax.get_xticklabels(), ax.get_yticklabels()):
        assert [label.get_text() for label in labels] == ["a", "b"]
    without = figures.panels(1)[1][0, 0]
    figures.matrix(without, values, ["a", "b"], numbers=False)
    assert not without.texts


def test_a_matrix_may_have_gaps(ax):
    figures.matrix(ax, np.array([[1.0, np.nan], [-0.04, np.nan]]), ["a", "b"])
    assert [text.get_text() for text in ax.texts] == ["1.0", "", "0.0", ""]
    figures.matrix(figures.panels(1)[1][0, 0], np.full((2, 2), np.nan), ["a", "b"])  # without a warning


def test_rows_stand_in_the_order_of_the_table_with_groups_apart(ax):
    table = pd.DataFrame({
        "name": ["b", "b", "a", "a"] * 2, "of": ["x"] * 4 + ["y"] * 4, "y": [1.0, 3.0, 5.0, np.nan, 2.0, 4.0, 6.0, 8.0],
    })  # fmt: skip
    figures.rows(ax, table, "y", "name", "of", {"x": "red", "y": "blue"}, apart=0.4)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "a"] and ax.yaxis_inverted()
    red, blue = ([line for line in ax.lines if line.get_color() == colour][0] for colour in ("red", "blue"))
    assert dict(zip(red.get_ydata(), red.get_xdata())) == pytest.approx({0.2: 2.0, 1.2: 5.0})
    assert dict(zip(blue.get_ydata(), blue.get_xdata())) == pytest.approx({-0.2: 3.0, 0.8: 7.0})
    figures.rows(ax, table, "y", "name", "of", {"x": "red"})
    assert ax.yaxis_inverted()  # a second time in one figure turns nothing round


def test_a_trail_is_named_on_the_side_to_which_it_goes(ax):
    path = np.array([[0.0, 0.0], [1.0, 1.0], [0.5, 2.0]])
    figures.trail(ax, path, "red", "back")
    figures.trail(ax, path[:2], "blue", "on")
    named = {text.get_text(): text for text in ax.texts if text.get_text()}
    assert named["back"].get_ha() == "right" and named["on"].get_ha() == "left"
    assert len(ax.texts) - len(named) == 3  # arrows


def test_ends_are_named(ax):
    figures.ends(ax, (0, 0), (1, 2))
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("input", (0, 0)), ("target", (1, 2))]
    assert [line.get_marker() for line in ax.lines] == ["s", "*"]


def test_a_gallery_names_its_rows_and_columns():
    _, axes = figures.panels(3, rows=2)
    pictures = [[np.full((1, 4, 4), 0.5)] * 3] * 2
    figures.gallery(axes, pictures, ["a", "b", "c"], ["one", "two"], [["", "1", "2"], ["", "3", "4"]])
    assert [ax.get_title() for ax in axes.flat] == ["a", "b", "c", "", "", ""]
    assert [ax.get_ylabel() for ax in axes.flat] == ["one", "", "", "two", "", ""]
    assert [ax.get_xlabel() for ax in axes.flat] == ["", "1", "2", "", "3", "4"]
    assert all(len(ax.images) == 1 for ax in axes.flat)


def test_shaded_lines_go_from_light_to_dark(ax):
    figures.shaded(ax, {"early": ([1, 2], [3, 4]), "late": ([1], [2])}, ["o", "^"], markersize=3)
    assert [line.get_label() for line in ax.lines] == ["early", "late"]
    assert [line.get_marker() for line in ax.lines] == ["o", "^"]
    assert [line.get_color() for line in ax.lines] == figures.depth_colours(2)
    assert ax.lines[0].get_ydata().tolist() == [3, 4]
