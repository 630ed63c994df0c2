"""Plots: bytes that depend on the data alone, intervals where they belong, and what reaches the page."""

from figures_shared import *  # noqa: F403


def test_a_figure_of_the_same_data_has_the_same_bytes():
    def figure():
        fig, axes = figures.panels(2, rows=2)
        figures.band(axes[0, 0], by_seed(y=[1, 2, 3, 4, 5, 6.5]), "depth", "y", figures.COLOURS["vgg"], "name")
        axes[1, 1].legend(handles=axes[0, 0].lines, labels=["one"])
        return drawn(fig)

    first = figure()
    assert first == figure() and b"<dc:date>" not in first and b"<text" not in first  # letters are outlines


def test_the_style_takes_no_date_into_a_notebook():
    shell = InteractiveShell.instance()
    formatter = shell.display_formatter.formatters["image/svg+xml"]
    fig, axes = figures.panels(1)
    axes[0, 0].plot([1, 2])
    assert "<dc:date>" not in formatter(fig) and "image/png" not in shell.display_formatter.format(fig)[0]


def test_every_kind_of_network_and_training_has_a_colour():
    families = {name: figures.colour_of(name) for name in ("resnet14", "vgg13-w16", "plain8", "mlp4-gelu", "cnn4")}
    assert len(set(families.values())) == 5
    assert all(build(name, classes=3) is not None for name in families)
    assert set(RECIPES) <= set(figures.COLOURS)
    assert families["plain8"] == figures.COLOURS["plainnet"] != figures.COLOURS["plain"]


def test_the_colour_of_input_noise_is_seen_on_white_and_told_apart_by_the_colour_blind():
    """At least as far, in CIELAB, from every colour as the palette's nearest two; contrast as WCAG asks of graphics."""
    eyes = np.array([  # Machado, Oliveira & Fernandes 2009: none, protanopia, deuteranopia, tritanopia
        np.eye(3), [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
        [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
        [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    ])  # fmt: skip
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

    def seen(colour):
        colour = np.array(colour)
        light = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
        return to_xyz @ np.clip(eyes @ light, 0, 1).T  # (XYZ, eye)

    def lab(colour):
        x, y, z = np.cbrt(seen(colour) / [[0.9505], [1], [1.089]])  # the line near black is left out
        return np.array([116 * y, 500 * (x - y), 200 * (y - z)])

    distance = lambda a, b: np.linalg.norm(lab(a) - lab(b), axis=0).min()
    ours, others = figures.COLOURS["input noise"], {*figures.COLOURS.values()} - {figures.COLOURS["input noise"]}
    assert 1.05 / (seen(ours)[1, 0] + 0.05) >= 3
    assert min(distance(ours, other) for other in others) >= min(distance(a, b) for a, b in combinations(others, 2))


def test_shades_are_ordered_from_light_to_dark():
    shades = np.array(figures.depth_colours(5)).sum(1)
    assert len(shades) == 5 and (np.diff(shades) < 0).all()


@pytest.mark.parametrize(("columns", "rows"), [(1, 1), (3, 2)])
def test_panels_are_a_grid_as_wide_as_the_text(columns, rows):
    fig, axes = figures.panels(columns, height=2.0, rows=rows, sharey=True)
    assert axes.shape == (rows, columns) and fig.get_size_inches() == pytest.approx([8.4, 2 * rows])


def test_a_picture_has_twice_the_pixels_and_is_not_shown_again():
    fig, _ = figures.panels(1, height=1.0)
    image = figures.picture(fig)
    width = int.from_bytes(image.data[16:20], "big")  # of the PNG's header
    assert image.width == 806 and width == pytest.approx(2 * 806, abs=2)
    assert not plt.get_fignums() and figures.picture(fig).data == image.data and b"Software" not in image.data


# Lines


def test_a_band_is_the_t_interval_of_the_seeds(ax):
    figures.band(ax, by_seed(y=[1, 2, 3, 4, 5, 7.0]), "depth", "y", "black", "name", arm="faithful", linewidth=3)
    (line,), (area,) = ax.lines, ax.collections
    expected = [t_interval([1.0, 2.0, 3.0]), t_interval([4.0, 5.0, 7.0])]
    assert line.get_xdata() == pytest.approx([0, 1])
    assert line.get_ydata() == pytest.approx([i.estimate for i in expected])
    edges = area.get_paths()[0].vertices
    for at, i in zip((0, 1), expected):
        assert {round(y, 9) for x, y in edges if x == at} == {round(i.low, 9), round(i.high, 9)}
    assert (line.get_linestyle(), line.get_markerfacecolor(), line.get_linewidth()) == ("--", "white", 3)
    (label,) = ax.texts
    assert label.get_text() == "name" and label.xy == pytest.approx((1, expected[1].estimate))


def test_a_band_on_a_logarithmic_axis_stays_positive(ax):
    ax.set_yscale("log")
    figures.band(ax, by_seed(y=[1e-3, 1, 1e3, 1, 10, 100]), "depth", "y", "black")
    assert ax.lines[0].get_ydata() == pytest.approx([1, 10])  # geometric means
    low = ax.collections[0].get_paths()[0].vertices[:, 1].min()
    assert low == pytest.approx(10 ** t_interval([-3.0, 0.0, 3.0]).low) and low > 0


def test_what_is_undefined_is_left_out(ax):
    nan = float("nan")
    table = by_seed(y=[nan, 2, 4, nan, nan, nan], z=[nan] * 6, w=[-1, 0, 0, 5, 5, 5])
    figures.band(ax, table, "depth", "y", "black")
    figures.band(ax, table, "depth", "z", "black", "nothing")
    assert len(ax.lines) == 1 and not ax.texts
    assert ax.lines[0].get_xdata() == [0] and ax.lines[0].get_ydata() == pytest.approx([3])
    ax.set_yscale("log")  # zero has no logarithm
    figures.band(ax, table, "depth", "w", "black")
    assert ax.lines[1].get_xdata() == [1] and ax.lines[1].get_ydata() == pytest.approx([5])


def test_one_seed_has_a_line_and_no_band(ax):
    figures.band(ax, pd.DataFrame({"depth": [0.0, 1.0], "y": [1.0, 2.0]}), "depth", "y", "black")
    assert ax.lines[0].get_ydata() == pytest.approx([1, 2])
    drawn(ax.figure)  # without a warning


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_room_is_made_at_the_right(scale):
    fig, axes = figures.panels(2)
    for ax in axes[0]:
        ax.set_xscale(scale)
        ax.plot([1, 100], [0, 1])
    before = [ax.get_xlim() for ax in axes[0]]
    figures.room(axes, 0.5)
    for ax, (low, high) in zip(axes[0], before):
        left, right = ax.get_xlim()
        further = (np.log(right / high) / np.log(high / low)) if scale == "log" else (right - high) / (high - low)
        assert left == pytest.approx(low) and further == pytest.approx(0.5)
        assert scale == "log" or max(ax.get_xticks()) <= high


def test_a_forest_has_a_row_for_each_judged_claim(ax):
    table = pd.DataFrame({
        "claim": ["C1", "C1", "C2", "C3"], "arm": ["faithful", "corrected", "faithful", "faithful"],
        "estimate": [1.0, 2.0, np.nan, -1.0], "low": [0.0, 1.0, np.nan, -2.0], "high": [2.0, 3.0, np.nan, 0.0],
    })  # fmt: skip
    within, greater = Rule("within", "a quantity", bound=0.5, margin=0.5), Rule("greater", "a quantity", margin=0.1)
    rules = {"C1": within, "C2": greater, "C3": greater}
    figures.forest(ax, table, {name: SimpleNamespace(rules={"faithful": rule}) for name, rule in rules.items()})
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["C1", "C3"] and ax.yaxis_inverted()
    intervals, estimates, bounds = ax.lines[:6:2], ax.lines[1:6:2], ax.lines[6:]
    assert [list(line.get_xdata()) for line in intervals] == [[0, 2], [1, 3], [-2, 0]]
    assert [line.get_xdata()[0] for line in estimates] == [1, 2, -1]
    assert [line.get_markerfacecolor() == "white" for line in estimates] == [True, False, True]
    assert [line.get_linestyle() for line in intervals] == ["--", "-", "--"]
    assert [(list(line.get_xdata()), line.get_ydata()[0]) for line in bounds] == [([-0.5, 0.5], 0), ([0.0], 1)]
    assert abs(estimates[0].get_ydata()[0] - estimates[1].get_ydata()[0]) > 0.2  # the arms do not cover each other


def test_claims_by_choice_have_a_row_a_choice_and_a_panel_a_claim():
    columns = ["claim", "arm", "choice", "estimate", "low", "high"]
    rows = [("X1", "faithful", "d: 1", 1.0, 0.5, 1.5), ("X1", "corrected", "q: 2", -1.0, -1.5, -0.5),
            ("X2", "corrected", "", 0.1, 0.0, 0.2)]  # fmt: skip
    rule = Rule("within", "an effect", bound=0.3, margin=0.3)
    known = {name: SimpleNamespace(rules={"faithful": rule}, short="in short") for name in ("X1", "X2", "X3")}
    judged = SimpleNamespace(intervals=pd.DataFrame(rows, columns=columns), register=known)
    _, axes = figures.by_choice(judged, ["X2", "X1", "X3"])
    second, first = axes.flat
    assert [ax.get_title(loc="left") or ax.get_title() for ax in (first, second)] == ["X1: in short", "X2: in short"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["d: 1", "q: 2"]
    assert [label.get_text() for label in second.get_yticklabels()] == ["headline"]
    dots = [line for line in first.lines if line.get_marker() == "o"]
    assert [float(dot.get_xdata()[0]) for dot in dots] == [1.0, -1.0]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [True, False]
