"""The scorecard: what it gathers, counts and says of claims, recorded or not, and how it draws them."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell
from small_book import PARAMETERS, tiny
from test_page import CLAIM, markdown, published, run  # noqa: F401: fixtures

from helpers.book import records, scorecard, scoregrid
from helpers.networks.cache import write
from helpers.verdicts import claims, judging
from helpers.verdicts.agreement import FRAGILE
from helpers.verdicts.values import tidy

RULE = CLAIM["arms"]["faithful"]
BOTH = {"faithful": RULE, "corrected": RULE | {"kind": "less", "margin": 0.1}}
CLAIMS = [
    CLAIM | {"id": "Y1", "chapter": "other", "source": "own", "arms": {"corrected": RULE}},
    CLAIM | {"arms": BOTH},
    CLAIM | {"id": "X2", "arms": BOTH | {"faithful": {"kind": "by construction", "reason": "always so"}}},
    CLAIM | {"id": "X3", "source": "memory"},
    CLAIM | {"id": "X4", "arms": {"corrected": RULE | {"kind": "two-sided"}}},
]
MEASURED = {
    ("X1", "faithful"): [1.0, 1.1, 1.2], ("X1", "corrected"): [1.0, 1.1, 1.2], ("X2", "corrected"): [-1.0, -0.9, -1.1],
    ("X4", "corrected"): [1.0, 1.1, 0.9],
}  # fmt: skip


@pytest.fixture(autouse=True)
def shell():
    yield
    InteractiveShell.clear_instance()


@pytest.fixture
def known(run, tmp_path):  # noqa: F811
    (tmp_path / "book" / "claims.yml").write_text(yaml.safe_dump(CLAIMS, sort_keys=False))
    return scorecard.register(["tiny"])


def judged(values=MEASURED, chapter="tiny"):
    register = claims.register(chapter)
    return judging.table(judging.intervals(tidy(values, ()), register), register)


def published_records(run, profile, **tables):  # noqa: F811
    """Commit tables of the chapter `tiny` at a recorded profile."""
    as_recorded = SimpleNamespace(**vars(run) | {"profile": profile, "folder": run.folder / profile})
    for name, table in tables.items():
        records.save(as_recorded, name, table)
    records.publish("tiny", profile, as_recorded.folder / "records")


def shares(*rows):
    return pd.DataFrame(rows, columns=["claim", "arm", "seeds", "agrees"]).assign(draws=400)


def of(card, claim, arm, scale):
    (row,) = card[(card["claim"] == claim) & (card["arm"] == arm) & (card["scale"] == scale)].itertuples()
    return row


def text(card, claim, arm="faithful"):
    """What stands in the cell of the table, without its marks."""
    rows = card[(card["claim"] == claim) & (card["arm"] == arm)]
    return re.sub(" <svg.*?</svg>", "", scorecard.cell(rows))


def test_chapters_stand_in_the_order_asked_for_and_no_claim_is_missing(known):
    assert list(known) == ["X1", "X2", "X3", "X4", "Y1"]
    assert list(scorecard.register(["other"])) == ["Y1", "X1", "X2", "X3", "X4"]


def test_every_claim_and_arm_stands_once_at_every_scale(run, known):  # noqa: F811
    card = scorecard.gathered(run, known)
    expected = {(name, arm) for name, claim in known.items() for arm in claim.rules}
    for scale in (*records.RECORDED.values(), scorecard.LIVE):
        rows = card[card["scale"] == scale]
        assert set(zip(rows["claim"], rows["arm"])) == expected and len(rows) == len(expected)
    assert (card["verdict"] == "no record").all() and (card["record"] == "none").all() and not card["fragile"].any()
    assert scorecard.scales_of(card) == [scorecard.LIVE]
    kept = records.load("tiny", "scorecard", run).table
    assert len(kept) == len(card) and kept["verdict"].tolist() == card["verdict"].tolist()
    assert records.load("tiny", "glance", run).table["claims"].sum() == len(card)


def test_verdicts_come_from_this_run_and_from_each_record(run, known):  # noqa: F811
    records.save(run, "claims", judged())
    published_records(run, "cifar", claims=judged({("X1", "faithful"): [-1.0, -1.1, -0.9]}))
    card = scorecard.gathered(run, known)
    assert of(card, "X1", "faithful", "this run").verdict == "holds"
    assert of(card, "X1", "faithful", "CIFAR-10").verdict == "does not hold"
    assert of(card, "X2", "faithful", "CIFAR-10").verdict == "by construction"
    assert of(card, "X1", "faithful", "digits").verdict == of(card, "Y1", "corrected", "this run").verdict == "no record"
    assert scorecard.scales_of(card) == ["CIFAR-10", "this run"]
    assert text(card, "X1").split("<br>")[::2] == [
        'CIFAR-10: <span class="verdict">does not hold</span>', 'this run: <span class="verdict">holds</span>',
    ]  # fmt: skip


def test_what_is_stale_changed_damaged_or_missing_is_told(run, known, tmp_path):  # noqa: F811
    table = judged()
    table.loc[table["claim"] == "X2", "rule"] = "another"
    published_records(run, "digits", claims=table[table["claim"] != "X3"])
    run.sources = "old"
    published_records(run, "cifar", claims=table)
    write(records.location("tiny", "paper") / "claims.json", "{")
    card = scorecard.gathered(run, known)
    scales = [*records.RECORDED.values(), scorecard.LIVE]
    digits, cifar, paper, live = (text(card[card["scale"] == scale], "X1") for scale in scales)
    assert digits == 'digits: <span class="verdict">holds</span><br><small>1.10 (0.85 to 1.35)</small>'
    assert cifar == digits.replace("digits", "CIFAR-10").replace("</span>", "</span>, *stale*")
    assert paper == 'paper: <span class="verdict">no record</span>, *unreadable*'
    assert live == 'this run: <span class="verdict">no record</span>'
    assert '"verdict">by construction</span>, *rule changed since*<br>' in text(card, "X2")
    assert text(card, "X3").startswith('digits: <span class="verdict">no record</span><br>')
    assert text(card, "X4") == "–"


def test_agreement_is_that_of_as_many_seeds_as_this_run_has(run, known, tmp_path):  # noqa: F811
    tiny(tmp_path, parameters=PARAMETERS.replace("[0, 1]  # -", "[0, 1, 2, 3, 4, 5]  # seeds"))
    index = pd.Index([0, 1, 2, 3], name="seed")
    values = tidy({("X1", "faithful"): pd.Series([1.0, 1.1, 1.2, 1.0], index)}, ())
    rows = [("X1", arm, n, agrees) for arm in BOTH for n, agrees in ((3, 0.9), (6, 0.75), (10, 0.99))]
    published_records(run, "digits", claims=judged(), agreement=shares(*rows))
    card = scorecard.gathered(run, known)
    usual = of(card, "X1", "faithful", "digits")  # nothing was run: the chapter's own six seeds
    assert (usual.seeds, usual.agrees, usual.fragile) == (6, 0.75, True) and usual.agrees < FRAGILE
    assert text(card, "X1").endswith('; *fragile, 75%*</small><br>this run: <span class="verdict">no record</span>')
    records.save(run, "values", values)
    card = scorecard.gathered(run, known)
    assert (of(card, "X1", "faithful", "digits").seeds, of(card, "X1", "corrected", "digits").seeds) == (3, 6)
    assert not of(card, "X1", "faithful", "digits").fragile and "; 90% agree</small>" in text(card, "X1")
    assert np.isnan(of(card, "X2", "corrected", "digits").agrees) and not of(card, "X1", "faithful", "this run").fragile


def test_the_finding_counts_headline_claims_at_the_first_scale_with_records(run, known):  # noqa: F811
    nothing = "No chapter with headline claims is recorded or has run yet."
    assert scorecard.finding(scorecard.gathered(run, known), known) == nothing
    records.save(run, "claims", judged())
    said = scorecard.finding(scorecard.gathered(run, known), known)
    assert said.startswith("In this run (nothing is recorded yet), **1 of 2 headline claims hold as published, and 1 of 2 with")
    assert "; 0 and 1 do not, " in said and said.endswith("Of the questions, 0 of 0 and 1 of 1 are answered.")
    published_records(run, "cifar", claims=judged({}))
    assert scorecard.finding(scorecard.gathered(run, known), known).startswith("On CIFAR-10, **0 of 2 ")
    more = known | {"Z1": claims.Claim(**vars(known["X1"]) | {"id": "Z1", "chapter": "another"})}
    assert scorecard.finding(scorecard.gathered(run, more), more).startswith("On CIFAR-10 (so far 1 of 2 papers), **0 of 2 ")


def test_the_signs_of_questions_are_counted_together(run, known):  # noqa: F811
    records.save(run, "claims", judged())
    counted = scorecard.counts(scorecard.gathered(run, known))
    (asked,) = counted[counted["question"] & (counted["scale"] == "this run")].itertuples()
    assert (asked.verdict, asked.claims, asked.origin) == ("positive or negative", 1, "paper")
    assert counted["claims"].sum() == 4 * 7


# The grid


def drawn(run, known):  # noqa: F811
    card = scorecard.gathered(run, known)
    return BeautifulSoup(scoregrid.grid(card, known, scorecard.scales_of(card)).data, "html.parser")


def test_every_verdict_is_a_named_mark_in_the_row_of_its_claim(run, known):  # noqa: F811
    records.save(run, "claims", judged())
    published_records(run, "digits", claims=judged(), agreement=shares(("X1", "faithful", 3, 0.5)))
    page = drawn(run, known)
    assert [caption.get_text() for caption in page.select("caption")] == ["Tiny", "Other"]
    assert [head.get_text() for head in page.table.select("thead th")] == ["digits", "this run"]
    rows = {row.a.get_text(): row for row in page.select("tbody tr")}
    assert list(rows) == list(known) and all(row.a["href"] == f"#{name.lower()}" for name, row in rows.items())
    assert all(len(row.find_all("td")) == 4 for row in rows.values())
    names = lambda row: [cell.svg and cell.svg["aria-label"] for cell in row.find_all("td")]
    assert names(rows["X1"]) == [
        "faithful: holds, fragile", "corrected: does not hold", "faithful: holds", "corrected: does not hold",
    ]  # fmt: skip
    assert names(rows["X4"]) == [None, "corrected: positive"] * 2 and names(rows["Y1"]) == [None] * 4
    assert [rows[name].a["class"] for name in ("X1", "X3", "Y1")] == [["paper"], ["inferred"], ["own"]]
    legend = page.figcaption.get_text()
    assert "positive" in legend and "inconclusive" not in legend and "fragile" in legend


def test_verdicts_differ_in_shape_arms_in_filling_and_fragile_ones_in_a_line():
    assert len(set(scoregrid.SHAPES.values())) == len(scoregrid.SHAPES)
    decided = {"holds", "does not hold", "negligible", "positive", "negative", "none", "inconclusive"}
    assert decided | {"by construction", "not judged"} == set(scoregrid.SHAPES)
    hollow, filled = scoregrid.mark("holds", "faithful"), scoregrid.mark("holds", "corrected")
    assert 'fill="none"' in hollow and 'fill="none"' not in filled
    assert "fragile" not in filled and scoregrid.mark("holds", "corrected", True).count("fragile") == 2
    assert scoregrid.mark("no record", "faithful") == ""


def test_words_of_a_claim_are_no_markup(run, known):  # noqa: F811
    known = {"X1": claims.Claim(**vars(known["X1"]) | {"statement": 'a < b & "c"'})}
    assert drawn(run, known).select_one("tbody a")["title"] == 'a < b & "c"'


# The tables


def test_a_chapter_has_its_claims_and_folded_its_notes_and_rules(run, known):  # noqa: F811
    records.save(run, "claims", judged())
    published_records(run, "digits", claims=judged())
    card = scorecard.gathered(run, known)
    heading, table, notes, rules = scorecard.chapter(run, card, known, "tiny")
    assert heading == "### {doc}`tiny`" and table.count("<br>") and table.count('class="claim"') == 4
    assert '<a class="claim" id="x1" data-chapter="tiny" href="tiny.html#x1">**X1**</a> It grows. *(abstract)*' in table
    assert notes.startswith("`````{dropdown}") and "always so" in notes and "**Recorded** · digits profile" in notes
    assert "| **X1** | faithful | digits | 3 |" in notes
    assert "| **X1** | faithful | *a against b; known beforehand: nothing.*<br>an effect | above 0 | 0.3 |" in rules
    assert "| **X1** | corrected | an effect | below 0 | 0.1 |" in rules and "| – |" in rules
    heading, table, notes, rules = scorecard.chapter(run, card, known, "other")
    assert heading == "### Other, not written yet" and '<span class="claim" id="y1" data-chapter="other">' in table
    assert "Nothing has been judged yet." in notes


def test_the_head_of_the_page_is_kept_for_it(run, known):  # noqa: F811
    records.save(run, "claims", judged())
    card = scorecard.gathered(run, known)
    *glued, shown = published(scorecard.glance, card, known)
    assert [each.metadata["scrapbook"]["name"] for each in glued] == ["finding", "grid", "fragile"]
    assert "| seen in the paper, without a direction | positive or negative | 0 / 1 |" in markdown(shown)
    (taken,) = published(scorecard.take, run)
    assert "{dropdown} All tables" in markdown(taken)
