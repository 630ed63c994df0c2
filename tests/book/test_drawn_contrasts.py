"""What is seen against a reference: signs and scales of colours, ratios with their intervals, dotted lines."""

from figures_shared import *  # noqa: F403


def test_dotted_lines_stand_in_every_panel():
    _, axes = figures.panels(2)
    figures.dotted(axes, y=3.0)
    figures.dotted(axes[0, 1], x=2.0)
    assert [[list(line.get_ydata()) for line in ax.lines][:1] for ax in axes[0]] == [[[3.0, 3.0]]] * 2
    assert [len(ax.lines) for ax in axes[0]] == [1, 2] and list(axes[0, 1].lines[1].get_xdata()) == [2.0, 2.0]
    assert {line.get_linestyle() for line in axes[0, 1].lines} == {":"}


def test_signed_pictures_are_white_at_zero_and_plain_ones_black():
    _, axes = figures.panels(3)
    change = np.array([[[-1.0, 0.0]], [[-3.0, 1.0]]])  # two channels; their mean is -2 and 0.5
    figures.signed(axes, {"a change": change, "an image": np.array([[[0.0, 4.0]]])}, plain=["an image"])
    red_and_blue, grey = (ax.images[0] for ax in axes[0, :2])
    assert red_and_blue.get_clim() == (-2, 2) and np.asarray(red_and_blue.get_array()).tolist() == [[-2.0, 0.5]]
    assert red_and_blue.cmap(0.0)[2] > red_and_blue.cmap(0.0)[0]  # blue below
    assert red_and_blue.cmap(1.0)[0] > red_and_blue.cmap(1.0)[2]  # red above
    assert grey.get_clim() == (0, 4) and grey.cmap.name == "gray"
    assert [ax.get_title(loc="left") for ax in axes[0]] == ["a change", "an image", ""]
    assert not axes[0, 2].images and not axes[0, 2].axison


def test_tables_as_colours_share_one_scale_and_one_bar():
    table = pd.DataFrame([[1.0, -5.0], [0.0, 2.0]], index=["up", "down"], columns=["left", "right"])
    fig, axes = figures.panels(1, rows=2)
    figures.heat(axes[:, 0], {"one": table, "other": -table}, "unit", most=3.0)
    assert [ax.get_title(loc="left") for ax in axes[:, 0]] == ["one", "other"]
    assert {ax.images[0].get_clim() for ax in axes[:, 0]} == {(-3, 3)}
    assert np.asarray(axes[1, 0].images[0].get_array()).tolist() == [[-1, 5], [0, -2]]
    assert [[name.get_text() for name in ax.get_yticklabels()] for ax in axes[:, 0]] == [["up", "down"]] * 2
    assert [[name.get_text() for name in ax.get_xticklabels()] for ax in axes[:, 0]] == [["", ""], ["left", "right"]]
    assert [ax.get_ylabel() for ax in fig.axes[2:]] == ["unit"]


def test_ratios_have_the_intervals_of_their_logarithms(ax):
    values = {"a": [1.0, 2.0, 8.0], "b": [0.5, 0.25, 0.5]}
    rows = [{"name": n, "kind": k, "y": v * f} for k, f in {"p": 1, "q": 4}.items() for n in values for v in values[n]]
    colours = {"p": figures.COLOURS["vgg"], "q": figures.COLOURS["mlp"]}
    figures.ratios(ax, pd.DataFrame(rows), "y", "name", "kind", colours, spread=0.4)
    assert ax.get_xscale() == "log" and ax.yaxis_inverted()
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_label() for line in dots] == ["p", "q"]
    assert list(dots[0].get_ydata()) == pytest.approx([-0.2, 0.8]) and list(dots[1].get_ydata()) == pytest.approx(
        [0.2, 1.2]
    )
    expected = [t_interval(np.log2(values[name])) for name in "ab"]
    assert list(dots[0].get_xdata()) == pytest.approx([2**i.estimate for i in expected])
    assert list(dots[1].get_xdata()) == pytest.approx([4 * 2**i.estimate for i in expected])
    bars = [line for line in ax.lines if line.get_color() == colours["p"] and line not in dots]
    assert [list(bar.get_xdata()) for bar in bars] == [pytest.approx([2**i.low, 2**i.high]) for i in expected]
    assert [name.get_text() for name in ax.get_yticklabels()] == ["a", "b"]
    figures.ratios(ax, pd.DataFrame(rows), "y", "name", "kind", colours)
    assert ax.yaxis_inverted()  # panels may share their rows
    assert [list(line.get_xdata()) for line in ax.lines if line.get_linestyle() == ":"] == [[1, 1]] * 2
