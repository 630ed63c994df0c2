"""A page that speaks of the record, and says when its run is another: strip, banner, folded results."""

import pytest
from records_shared import HIGH, LOW, UNSURE, measured, plant, pretend_finished, run_of, spoken

from helpers.book import runner, site, sources, speaking

FOLDED = "{dropdown} What the record shows (not this run)"


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    spoken(tmp_path)
    return tmp_path


def staged(live, changes=None, record=True):
    """The cells of the page of a run, by id, beside a record of three claims that hold, or beside none."""
    if record:
        plant(run_of("digits"), measured(shrinks=HIGH))
    run = run_of(changes=changes)
    plant(run, live)
    pretend_finished(run)
    return {cell.id: cell for cell in site.executed("spoken", changes=changes).cells}


def folded(cells):
    return {name for name, cell in cells.items() if FOLDED in cell.source}


def test_a_chapter_without_records_is_as_it_is_written():
    page = staged(measured(faithful=LOW), {"scale": 2.0}, record=False)
    source = {cell.id: cell.source for cell in sources.notebook("spoken").cells}
    assert {name: cell.source for name, cell in page.items()} == source


def test_a_run_that_agrees_needs_no_banner():
    page = staged(measured())
    assert "banner" not in page and not folded(page)
    assert list(page)[:2] == ["title", "strip"]


def test_the_strip_has_the_verdicts_of_the_record_and_how_this_run_stands_to_them():
    lines = staged(measured(faithful=UNSURE, shrinks=None))["strip"].source.splitlines()
    assert lines[:2] == ["| claim | faithful | corrected |", "| --- | --- | --- |"]
    first, second, third, fourth = (line.strip("| ").split(" | ") for line in lines[2:6])
    assert first[0] == '<a href="#s1">S1</a> grows' and third[0] == '<a href="#s3">S3</a> Always.'
    assert first[1] == "**holds** (digits)<br>this run **differs**: inconclusive (agrees 94 in 100)"
    assert first[2] == "**holds** (digits)<br>this run agrees (agrees 94 in 100)"
    assert second[1:] == ["–", "**does not hold** (digits)<br>was not judged in this run"]
    assert third[1:] == ["**by construction** (digits)", "–"] and fourth[2] == "**not judged** (digits)"
    assert "N in 100" in lines[-1]


def test_verdicts_of_two_records_stand_together_where_they_are_the_same():
    plant(run_of("cifar"), measured(corrected=LOW))
    cells = staged(measured())["strip"].source
    assert "**holds** (digits, CIFAR-10)<br>" in cells and "**holds** (digits); **does not hold** (CIFAR-10)<br>" in cells


def test_a_verdict_that_many_runs_would_miss_is_called_fragile():
    plant(run_of("digits"), measured(), share=0.77)
    run = run_of()
    plant(run, measured(corrected=HIGH * 2))
    pretend_finished(run)
    strip = next(cell.source for cell in site.executed("spoken").cells if cell.id == "strip")
    assert "agrees (agrees 77 in 100, *fragile*) | **holds** (digits)<br>this run agrees (agrees 82 in 100) |" in strip


def test_where_a_verdict_differs_the_banner_names_it_and_what_is_about_it_is_folded():
    page = staged(measured(faithful=UNSURE))
    assert list(page)[:3] == ["title", "banner", "strip"]
    said = page["banner"].source
    assert said.startswith("```{admonition} This run is not the record\n:class: warning\n")
    assert '<a href="#s1">S1</a> grows, faithful: **inconclusive** in this run, **holds** on record (digits)' in said
    assert "by default" not in said and "S2" not in said
    assert folded(page) == {"general", "of-s1", "nested"}  # about S1, or about no claim in particular


def test_off_the_defaults_no_cell_that_states_a_result_is_open():
    page = staged(measured(), {"scale": 2.0, "seeds": [3, 4, 5]})
    said = page["banner"].source
    assert "`seeds` is `[3, 4, 5]`, by default `[0, 1, 2]`" in said and "`scale` is `2.0`, by default `1.0`" in said
    assert "on record" not in said
    stating = {cell.id for cell in sources.notebook("spoken").cells if "result" in cell.metadata.get("tags", ())}
    assert folded(page) == stating and len(stating) == 4


def test_fences_nest():
    text = staged(measured(), {"scale": 2.0})["nested"].source
    first, *_, last = text.splitlines()
    assert first == f"`````{FOLDED}" and last == "`````" and "\n````{note}\n```{math}\n" in text
    assert speaking.directive("note", "T", "a `b` c", ":class: x") == "```{note} T\n:class: x\n\na `b` c\n```"


def test_the_page_of_a_run_with_other_parameters_needs_that_run():
    plant(run_of("digits"), measured())
    with pytest.raises(site.BuildFailed, match="spoken: its laptop run is missing"):
        site.executed("spoken", changes={"scale": 3.0})
    assert runner.finished_runs("spoken") == []
