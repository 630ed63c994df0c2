"""Every chapter, run at the smoke profile by the real runner, twice, each time from nothing: the same bytes.

Once one after the other, and once two side by side, as the site is built.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from helpers.book import checks, parameters, records, runner, site, sources
from helpers.verdicts import claims

HERE = Path(__file__).parents[2]
CHAPTERS = sources.chapters()
STUDIES = sorted({claim.chapter for claim in claims.load().values()} & set(CHAPTERS))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, copy_of_the_book, site_copy):
    """Two copies of the book in which every chapter has run, each with a cache that was empty before."""
    alone = copy_of_the_book(tmp_path_factory.mktemp("alone"))
    for chapter in CHAPTERS:
        call = [sys.executable, "-m", "helpers", "run", chapter, "--profile", "smoke"]
        done = subprocess.run(call, env=os.environ | alone.changes, cwd=alone.root, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        entered(site_copy, patch)
        site.run_all("smoke")
    return [alone, site_copy]


@pytest.fixture
def first(runs, monkeypatch):
    """The first of the two, for calls in this process."""
    return entered(runs[0], monkeypatch)


def entered(run, monkeypatch):
    for name in ("LAYERS_ROOT", "LAYERS_CACHE"):
        monkeypatch.setenv(name, run.changes[name])
    return run.root


def executed(chapter):
    return nbformat.read(runner.place(chapter, "smoke") / "notebook.ipynb", as_version=4)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_two_runs_from_nothing_are_byte_identical_once_scrubbed(runs, monkeypatch, chapter):
    found, pages = [], []
    for run in runs:
        entered(run, monkeypatch)
        found.append(nbformat.writes(site.scrub(executed(chapter))))
        pages.append(nbformat.writes(site.executed(chapter, "smoke")))
    assert found[0] == found[1] and pages[0] == pages[1]
    for run in runs:
        for folder in (run.root, run.changes["LAYERS_CACHE"], HERE, Path.home()):
            assert len(str(folder)) < 3 or str(folder) not in pages[0]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_tables_of_two_runs_are_the_same(runs, monkeypatch, chapter):
    tables = []
    for run in runs:
        entered(run, monkeypatch)
        paths = sorted(records.location(chapter, "smoke").glob("*.json"))
        tables.append({path.name: json.loads(path.read_text())["table"] for path in paths})
    assert tables[0] and tables[0] == tables[1]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_cell_ran_and_none_complained(first, chapter):
    cells = [cell for cell in executed(chapter).cells if cell.cell_type == "code" and cell.source.strip()]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error" and "Warning" not in str(output.get("text", "")), cell.id


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_drawing_cells_draw_and_measuring_cells_do_not(first, chapter):
    for cell in executed(chapter).cells:
        tags = cell.metadata.get("tags", ())
        images = [o for o in cell.get("outputs", ()) if any(kind.startswith("image/") for kind in o.get("data", ()))]
        assert "figure" in tags or not images, cell.id
        assert "figure" not in tags or cell.outputs, cell.id


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_run_leaves_readable_records_and_nothing_half_done(first, chapter):
    folder = runner.place(chapter, "smoke")
    assert {path.name for path in folder.iterdir()} == {"notebook.ipynb", "records", "run.json"}
    assert {path.name for path in folder.parent.iterdir()} == {"smoke", "smoke.lock"}
    assert runner.finished(folder, runner.key(chapter, "smoke"))
    names = [path.stem for path in (folder / "records").glob("*.json")]
    assert names
    for name in names:
        record = records.load(chapter, name, "smoke")
        assert record.status == "current" and len(record.table)
        assert set(record.provenance) >= {"commit", "sources", "versions", "device", "threads", "seconds", "created"}


@pytest.mark.parametrize("chapter", STUDIES)
def test_every_claim_and_arm_of_the_chapter_has_its_row(first, chapter):
    register = {name: claim for name, claim in claims.load().items() if claim.chapter == chapter}
    table = records.load(chapter, "claims", "smoke").table
    expected = [(name, arm) for name, claim in register.items() for arm in claim.rules]
    assert list(zip(table["claim"], table["arm"])) == expected
    for row in table.itertuples():
        rule = register[row.claim].rules[row.arm]
        assert row.rule == rule.hash and row.source == register[row.claim].source
        # Two seeds and a handful of networks: every rule gets its measurement, and none may decide.
        assert row.verdict == ("by construction" if rule.kind == "by construction" else "not judged")
        assert row.note and row.note != "not measured in this profile"
        assert rule.kind in ("by construction", "not judged") or np.isfinite(row.estimate) or row.n < 20


def test_the_scorecard_gathers_every_claim(first):
    card = records.load("scorecard", "scorecard", "smoke").table
    register = claims.load()
    expected = {(name, arm) for name, claim in register.items() for arm in claim.rules}
    assert list(dict.fromkeys(card["scale"])) == [*records.RECORDED.values(), "this run"]
    for scale, rows in card.groupby("scale"):
        assert set(zip(rows["claim"], rows["arm"])) == expected and len(rows) == len(expected), scale
    live = card[card["scale"] == "this run"].set_index(["claim", "arm"])
    unwritten = live[~live["chapter"].isin(CHAPTERS)]
    assert (unwritten["verdict"] == "no record").all() and (unwritten["record"] == "none").all()
    for chapter in STUDIES:
        judged = records.load(chapter, "claims", "smoke").table.set_index(["claim", "arm"])
        assert list(live.loc[judged.index, "verdict"]) == list(judged["verdict"]), chapter
        assert (live.loc[judged.index, "chapter"] == chapter).all() and (live["chapter"] == chapter).sum() == len(judged)
    assert not card["rule_changed"].any()
    assert (card["headline"] == card["claim"].map(lambda name: register[name].headline)).all()
    kinds = [register[name].rules[arm].kind for name, arm in zip(card["claim"], card["arm"])]
    assert list(card["question"]) == [kind == "two-sided" for kind in kinds] and card["question"].any()


def test_the_scorecard_counts_every_claim_once_where_it_belongs(first):
    counts = records.load("scorecard", "glance", "smoke").table
    rules = [(claim, arm) for claim in claims.load().values() for arm in claim.rules]
    for (origin, scale, arm, question), rows in counts.groupby(["origin", "scale", "arm", "question"]):
        asked = [of.rules[each].kind == "two-sided" for of, each in rules if each == arm and of.origin == origin]
        assert rows["claims"].sum() == asked.count(question), (origin, scale, arm, question)
        assert rows["verdict"].is_unique
    assert counts["claims"].sum() == counts["scale"].nunique() * len(rules)
    assert all((claim.origin == "paper") == claim.headline for claim, _ in rules)


def test_the_scorecard_comes_after_the_chapters_whose_claims_it_gathers():
    studied = {claim.chapter for claim in claims.load().values()} & set(CHAPTERS)
    assert studied <= set(runner.after("scorecard"))


def test_the_sources_are_clean():
    mistakes, _ = checks.check()
    assert not mistakes


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_profile_has_values_that_the_chapter_takes(chapter):
    for profile in parameters.profiles():
        assert set(parameters.resolve(chapter, profile)) == {each.name for each in parameters.parameters(chapter)}
