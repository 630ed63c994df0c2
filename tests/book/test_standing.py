"""How a run stands beside what is recorded, planted: the same or other parameters, and verdicts of every kind."""

import pytest
from records_shared import HIGH, LOW, UNSURE, measured, plant, run_of, spoken

from helpers.book.standing import AGREES, DIFFERS, UNJUDGED, Changed, standing


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    spoken(tmp_path)
    return tmp_path


def beside(run):
    return {(each.claim, each.arm): each for each in standing(run).claims}


def test_without_records_there_is_nothing_to_say():
    plant(run_of(), measured())
    assert standing(run_of()) is None


def test_verdicts_agree_differ_or_were_not_given():
    plant(run_of("digits"), measured(elsewhere=HIGH))
    plant(run_of(), measured(faithful=UNSURE, shrinks=None, elsewhere=HIGH))
    found = beside(run_of())
    assert {name: (each.recorded["digits"], each.live, each.stands) for name, each in found.items()} == {
        ("S1", "faithful"): ("holds", "inconclusive", DIFFERS),
        ("S1", "corrected"): ("holds", "holds", AGREES),
        ("S2", "corrected"): ("does not hold", "not judged", UNJUDGED),
        ("S3", "faithful"): ("by construction", "by construction", UNJUDGED),
        ("S4", "corrected"): ("not judged", "not judged", UNJUDGED),  # judged at another profile alone
    }
    assert [each.claim for each in standing(run_of()).differing] == ["S1"]
    assert found["S3", "faithful"].profile == found["S4", "corrected"].profile == ""
    assert not standing(run_of()).changed


def test_a_run_is_compared_with_the_first_record_that_judges():
    plant(run_of("digits"), measured(corrected=None))
    plant(run_of("cifar"), measured(faithful=LOW, corrected=LOW, elsewhere=HIGH))
    plant(run_of(), measured(corrected=LOW))
    found = beside(run_of())
    assert found["S1", "faithful"].recorded == {"digits": "holds", "cifar": "does not hold"}
    assert (found["S1", "faithful"].profile, found["S1", "faithful"].stands) == ("digits", AGREES)
    assert (found["S1", "corrected"].profile, found["S1", "corrected"].stands) == ("cifar", AGREES)
    assert found["S4", "corrected"].profile == "cifar"


def test_what_a_run_without_records_of_its_own_says_is_that_it_did_not_judge():
    plant(run_of("digits"), measured())
    assert {each.stands for each in standing(run_of()).claims} == {UNJUDGED}


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, []),
    ({"device": "cpu"}, []),
    ({"scale": 2.0}, [Changed("scale", 1.0, 2.0)]),
    ({"scale": 2.0, "seeds": [7]}, [Changed("seeds", [0, 1, 2], [7]), Changed("scale", 1.0, 2.0)]),
])  # fmt: skip
def test_parameters_off_the_defaults_are_named(changes, expected):
    plant(run_of("digits"), measured())
    assert standing(run_of(changes=changes)).changed == expected


def test_values_of_another_profile_are_off_the_defaults_too():
    plant(run_of("digits"), measured())
    assert standing(run_of("smoke")).changed == []
    run = run_of("smoke")
    run.parameters["seeds"] = [5]
    assert standing(run).changed == [Changed("seeds", [0, 1, 2], [5])]


@pytest.mark.parametrize(("live", "seeds", "share"), [(HIGH, 3, 0.77), (HIGH[:2] * 2, 3, 0.77), (HIGH[:2] * 4, 5, 0.82)])
def test_the_share_of_runs_that_agree_is_that_of_the_nearest_recorded_number_of_seeds(live, seeds, share):
    plant(run_of("digits"), measured(corrected=HIGH * 2), share=0.77)
    plant(run_of(), measured(faithful=live))
    found = beside(run_of())
    one = found["S1", "faithful"]
    assert (one.seeds, one.share, one.fragile) == (seeds, pytest.approx(share), share < 0.8)
    assert found["S3", "faithful"].share is None and not found["S3", "faithful"].fragile


def test_verdicts_follow_from_the_recorded_values_by_the_rules_as_they_read_now(root):
    plant(run_of("digits"), measured())
    plant(run_of(), measured())
    claims = root / "book" / "claims.yml"
    claims.write_text(claims.read_text().replace("kind: greater", "kind: less"))
    assert beside(run_of())["S1", "corrected"].recorded == {"digits": "does not hold"}
