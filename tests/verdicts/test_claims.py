"""Claims: rules and the register are read, or refused by name."""

import hashlib
import json
import math
from dataclasses import replace

import pytest
from registers import ENTRY, GREATER, written

from helpers.verdicts import claims
from helpers.verdicts.claims import Rule
from helpers.verdicts.statistics import STATISTICS

RULE = ENTRY["arms"]["faithful"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "bigger"}, "kind: 'bigger', expected one of greater, less"),
        ({"kind": "greater", "margin": 0.1}, "quantity, margin: '', 0.1, expected"),
        ({"kind": "less", "quantity": "x"}, "quantity, margin: 'x', 0.0, expected"),
        ({"kind": "two-sided", "quantity": "x", "margin": -1.0}, "margin: 'x', -1.0"),
        ({"kind": "greater", "quantity": "x", "margin": math.nan}, "margin: 'x', nan"),
        ({"kind": "within", "quantity": "x", "margin": 0.3}, "bound: 0.0, expected at least the margin, 0.3"),
        ({"kind": "within", "quantity": "x", "margin": 0.3, "bound": 0.2}, "bound: 0.2, expected"),
        ({"kind": "less", "quantity": "x", "margin": 0.1, "choices": "chart"}, "choices: 'chart', expected a list of kinds"),
        ({"kind": "by construction"}, "reason: empty, expected why the claim is by construction"),
        ({"kind": "not judged", "quantity": "x", "margin": 0.1}, "reason: empty"),
    ],
)
def test_a_rule_that_cannot_decide_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Rule(**fields)


def test_a_changed_rule_shows_in_its_hash():
    changes = [{"kind": "less"}, {"quantity": "another"}, {"bound": 0.1}, {"margin": 0.31}, {"reason": "why"},
               {"statistic": "mean"}, {"choices": ["chart"]}]  # fmt: skip
    assert len({GREATER.hash, *(replace(GREATER, **change).hash for change in changes)}) == 8
    assert GREATER.hash == Rule(margin=0.3, quantity="an effect", kind="greater").hash


def test_claims_are_read_in_order(tmp_path):
    both = claims.load(written(tmp_path, ENTRY | {"id": "X2", "source": "memory"}, ENTRY))
    assert list(both) == ["X2", "X1"] and both["X1"].rules["faithful"] == GREATER
    assert both["X1"].headline and not both["X2"].headline


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": "rumour"}, "claim X1: source 'rumour'"),
        ({"colour": "blue"}, "claim X1: .*unexpected keyword argument 'colour'"),
        ({"contrast": None}, "claim X1: .*missing .*'contrast'"),
        ({"arms": None}, "claim X1: 'arms'"),
        ({"arms": {}}, r"claim X1: .*with arms \[\]"),
        ({"arms": {"other": RULE}}, r"claim X1: .*with arms \['other'\], expected .* arms of faithful, corrected"),
        ({"arms": {"faithful": {"kind": "greater"}}}, "claim X1: quantity, margin"),
        ({"arms": {"faithful": {"kind": "greater", "size": 1}}}, "claim X1: .*'size'"),
        ({"profiles": "paper"}, "claim X1: profiles: 'paper', expected a list of names"),
        ({"arms": {"faithful": RULE | {"statistic": "rank"}}}, "claim X1: statistic: 'rank', expected one of mean, "),
    ],
)
def test_a_claim_that_cannot_be_read_is_named(tmp_path, changes, message):
    entry = {key: value for key, value in (ENTRY | changes).items() if value is not None}
    with pytest.raises(ValueError, match=f"claims.yml: {message}"):
        claims.load(written(tmp_path, entry))


def test_an_id_stands_once(tmp_path):
    with pytest.raises(ValueError, match="claim X1 stands twice"):
        claims.load(written(tmp_path, ENTRY, ENTRY))


def test_the_books_claims_are_complete():
    found = claims.load()
    assert {f"C{i}" for i in range(1, 11)} | {f"L{i}" for i in range(1, 17)} <= set(found)
    for claim in found.values():
        assert claim.chapter and claim.statement.endswith((".", "?")) and claim.known_beforehand and claim.contrast
        assert len({rule.hash for rule in claim.rules.values()}) == len(claim.rules)
    assert found["C1"].headline and not found["C9"].headline
    assert found["C9"].rules["corrected"].kind == "by construction"
    assert found["C10"].rules["faithful"].kind == "not judged"
    assert found["C5"].rules["faithful"].kind == "within" and found["C5"].rules["faithful"].bound == 0.3


def test_a_chapter_has_its_claims():
    found = claims.register("paths")
    assert list(found)[0] == "L1" and {claim.chapter for claim in found.values()} == {"paths"}
    with pytest.raises(ValueError, match="chapter: 'path', expected one with claims in book.claims.yml"):
        claims.register("path")


def test_where_a_claim_is_judged(tmp_path):
    register = claims.load(written(tmp_path, ENTRY, ENTRY | {"id": "X2", "profiles": ["paper", "digits"]}))
    assert not register["X1"].profiles and list(register["X2"].profiles) == ["paper", "digits"]


def test_a_rule_names_its_statistic():
    rule = replace(GREATER, statistic="spearman")
    assert rule.hash != GREATER.hash and STATISTICS[rule.statistic] is not None
    assert GREATER.statistic == "" and set(STATISTICS) == {
        "mean", "spearman", "partial spearman", "rank gain", "axes", "shared axes",
    }  # fmt: skip


def test_the_hash_of_a_rule_without_a_statistic_is_that_of_the_first_edition():
    said = {"kind": "greater", "quantity": "an effect", "bound": 0.0, "margin": 0.3, "reason": ""}
    assert GREATER.hash == hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


@pytest.mark.parametrize(("kind", "null"), [("greater", -0.05), ("less", -0.05), ("within", 0.0), ("two-sided", 0.0)])
def test_the_null_of_a_rule_is_its_bound_where_it_has_one(kind, null):
    assert Rule(kind, "x", bound=0.4 if kind == "within" else -0.05, margin=0.3).null == null
    assert Rule("by construction", reason="always so").null == 0.0


def test_the_claims_of_a_book_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "book").mkdir()
    written(tmp_path / "book", ENTRY)
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    assert list(claims.load()) == list(claims.register("x")) == ["X1"]
