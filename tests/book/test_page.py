"""The page: text, tables, values for the prose, what was expected, and where numbers come from."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib.figure import Figure
from small_book import tiny

from helpers.book import Run, checks, figures, origins, page, parameters, records, runner, sources
from helpers.verdicts import claims, judging, spell, t_interval
from helpers.verdicts.values import tidy

pytestmark = pytest.mark.usefixtures("styled")

CLAIM = {
    "id": "X1", "chapter": "tiny", "statement": "It grows.", "source": "abstract", "known_beforehand": "nothing",
    "contrast": "a against b",
    "arms": {"faithful": {"kind": "greater", "quantity": "an effect", "margin": 0.3}},
}  # fmt: skip


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of the chapter `tiny`, in a book of one claim."""
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    tiny(tmp_path)
    (tmp_path / "book" / "claims.yml").write_text(yaml.safe_dump([CLAIM]))
    folder, values = runner.place("tiny", "laptop"), parameters.resolve("tiny", "laptop")
    return Run("tiny", "laptop", values, torch.device("cpu"), folder, sources.measuring("tiny"), 1)


def published(function, *arguments):
    InteractiveShell.instance()
    with capture_output() as caught:
        function(*arguments)
    return caught.outputs


def markdown(output):
    return output.data["text/markdown"]


def test_text_and_tables_reach_the_page_as_markdown():
    (text,) = published(page.show, "one", "two")
    assert markdown(text) == "one\n\ntwo"
    (shown,) = published(page.show_table, pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}), "A caption")
    assert markdown(shown).splitlines() == [
        "```{table} A caption", "| a | b |", "| --- | --- |", "| x | 1 |", "| y | 2 |", "```",
    ]  # fmt: skip


def test_estimates_are_shown_with_their_intervals():
    found = {"one": [1.0, 2.0, 3.0], "two": pd.Series([5.0, 5.0])}
    (shown,) = published(page.show_estimates, found, ["what", "mean"], "A caption")
    lines = markdown(shown).splitlines()
    assert lines[1] == "| what | mean |" and lines[3] == f"| one | {spell(t_interval([1.0, 2.0, 3.0]))} |"
    assert lines[4].startswith("| two | 5.00")
    (shown,) = published(page.show_estimates, {("a", "b"): ([1.0, 2.0], [3.0, 4.0])}, list("wxyz"), "Another")
    assert markdown(shown).splitlines()[3].count("|") == 5 and "| a | b | 1.50 (" in markdown(shown)


def test_what_is_glued_is_kept_under_its_name():
    (number,) = published(page.glue, "count", 7)
    assert number.data["application/papermill.record/text/plain"] == "7"
    assert number.metadata["scrapbook"] == {"name": "count", "mime_prefix": "application/papermill.record/"}
    fig, axes = figures.panels(1)
    (kept,) = published(page.glue, "figure", fig)
    assert isinstance(fig, Figure) and "application/papermill.record/image/svg+xml" in kept.data
    assert not plt.get_fignums()  # not shown a second time at the cell's end


def test_recorded_verdicts_are_shown_where_there_are_any(run):
    (shown,) = published(page.show_recorded, run)
    assert markdown(shown).endswith("**Not recorded** at this scale yet.")
    register = claims.register("tiny")
    found = judging.intervals(tidy({("X1", "faithful"): [1.0, 2.0, 3.0]}, []), register)
    records.save(run, "claims", judging.table(found, register))
    records.publish("tiny", "digits", run.folder / "records")
    (shown,) = published(page.show_recorded, run)
    assert "**Recorded**" in markdown(shown) and "| **X1** It grows. | faithful |" in markdown(shown)


def test_where_numbers_come_from(run):
    records.save(run, "values", pd.DataFrame({"x": [1]}))
    (shown,) = published(page.show_provenance, run)
    assert markdown(shown) == f"{origins.badge(run)}\n\n{origins.downloads(run)}"
    (shown,) = published(page.show_provenance, run, "other")
    assert "Tables of this run, tiny:" in markdown(shown)


def test_what_was_expected_is_recorded_and_shown_and_stops_nothing(run):
    expected = {"it grows": True, "it shrinks": np.bool_(False), "it stays": 1 > 2}
    (shown,) = published(page.expect, run, expected)
    rows = ["| it grows | yes |", "| it shrinks | **no** |", "| it stays | **no** |"]
    assert markdown(shown).splitlines()[3:6] == rows
    table = records.load("tiny", "expected", run).table
    assert table["expectation"].tolist() == list(expected) and table["holds"].tolist() == [True, False, False]
    (shown,) = published(page.expect, run, {})
    assert not len(records.load("tiny", "expected", run).table)


def test_what_came_out_otherwise_is_found_by_the_checks(run):
    published(page.expect, run, {"it grows": True, "it shrinks": False})
    mistakes = [mistake for mistake in checks.check()[0] if "expected of the laptop run" in mistake]
    assert mistakes == ["tiny: expected of the laptop run, and not so: it shrinks"]
