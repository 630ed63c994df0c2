"""A chapter's claims in one call: judged, recorded so that verdicts follow from the record alone, and shown."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell
from test_page import CLAIM, markdown, published, run  # noqa: F401: fixtures

from helpers import book, verdicts
from helpers.book import judging as judging_of
from helpers.book import origins, records, sources
from helpers.verdicts import judging


@pytest.fixture(autouse=True)
def shell():
    yield
    InteractiveShell.clear_instance()


RULE = CLAIM["arms"]["faithful"]
CLAIMS = [
    CLAIM | {"arms": {"faithful": RULE, "corrected": RULE | {"kind": "less", "bound": -0.05}}},
    CLAIM | {"id": "X2", "arms": {"faithful": RULE | {"statistic": "partial spearman", "bound": 0.1}}},
    CLAIM | {"id": "X3", "profiles": ["paper"]},
    CLAIM | {"id": "X4", "arms": {"corrected": {"kind": "by construction", "reason": "always so"}}},
    CLAIM | {"id": "X5"},
]


@pytest.fixture
def judged(run, tmp_path):  # noqa: F811
    """What was judged, and what reached the page."""
    (tmp_path / "book" / "claims.yml").write_text(yaml.safe_dump(CLAIMS, sort_keys=False))
    index = pd.MultiIndex.from_product([["mlp2", "vgg8", "cnn4"], range(10)], names=["model", "seed"])
    columns = pd.DataFrame(np.random.default_rng(0).normal(size=(30, 3)), index, ["x", "y", "z"])
    measured = {
        ("X1", "faithful"): {"q = 2": lambda seed: 1 + 0.1 * seed, "q = 1": lambda seed: math.nan if seed else 1.0},
        ("X1", "corrected"): pd.Series({100: -0.2, 101: -0.25, 102: -0.3}).rename_axis("seed"),
        ("X2", "faithful"): columns,
        ("X3", "faithful"): [0.9, 1.0, 1.1],
    }
    found = []
    outputs = published(lambda: found.append(book.judge(run, measured, [0, 1, 2])))
    return found[0], outputs


def test_the_verdicts_follow_from_the_recorded_values_alone(run, judged):  # noqa: F811
    kept = {name: records.load("tiny", name, run).table for name in ("values", "intervals", "claims")}
    intervals = judging.intervals(kept["values"], judged[0].register)
    pd.testing.assert_frame_equal(intervals, kept["intervals"], check_exact=True)
    again = judging.table(intervals, judged[0].register, "laptop")
    assert set(kept["claims"].pop("computed_by")) == {sources.computing("tiny")}
    pd.testing.assert_frame_equal(again, kept["claims"], check_exact=True, check_dtype=False)
    pd.testing.assert_frame_equal(kept["values"], judged[0].values, check_exact=True, check_dtype=False)
    assert again.set_index(["claim", "arm"])["verdict"].to_dict() == {
        ("X1", "faithful"): "inconclusive", ("X1", "corrected"): "holds", ("X2", "faithful"): again["verdict"][2],
        ("X3", "faithful"): "not judged", ("X4", "corrected"): "by construction", ("X5", "faithful"): "not judged",
    }  # fmt: skip


def test_intervals_are_found_by_claim_arm_and_choice(judged):
    found, _ = judged
    assert found.interval("X1", "faithful") == found.interval("X1", "faithful", "q = 2")
    assert found.interval("X1", "faithful") == verdicts.t_interval([1.0, 1.1, 1.2])
    assert math.isnan(found.interval("X1", "faithful", "q = 1").low)
    assert found.interval("X1", "corrected").p == verdicts.t_interval([-0.2, -0.25, -0.3], null=-0.05).p
    with pytest.raises(ValueError, match="claim, arm: 'X5', 'faithful', expected one that was measured"):
        found.interval("X5", "faithful")


def test_the_badge_and_the_counts_are_glued(run, judged):  # noqa: F811
    found, outputs = judged
    glued = {each.metadata["scrapbook"]["name"]: each.data for each in outputs if "scrapbook" in each.metadata}
    prefix = "application/papermill.record/"
    assert glued.pop("badge")[f"{prefix}text/markdown"] == origins.badge(run)
    counts = judging.counts(found.verdicts, found.register)
    assert {name: int(data[f"{prefix}text/plain"]) for name, data in glued.items()} == counts
    assert counts["corrected_holds"] == 1


def test_verdicts_are_shown_and_every_interval_below(run, judged):  # noqa: F811
    found, outputs = judged
    text = markdown(outputs[-1])
    assert text.startswith(origins.badge(run)) and '<span id="x1"></span>**X1** It grows. | faithful' in text
    folded = text[text.index("````{dropdown}") :].splitlines()
    assert folded[1:4] == [
        "```{table} Estimates with 95% intervals by claim, arm and choice", "| claim | arm | choice | estimate |",
        "| --- | --- | --- | --- |",
    ]  # fmt: skip
    spelled = verdicts.spell(found.interval("X1", "faithful"))
    assert folded[4] == f"| X1 | faithful | q = 2 | {spelled} |" and folded[-1] == "````"
    assert len(folded) == 4 + len(found.intervals) + 2


def test_values_without_a_rule_are_refused(run, judged):  # noqa: F811
    with pytest.raises(ValueError, match="measured: .'X9', 'faithful'., expected a claim of X1"):
        published(book.judge, run, {("X9", "faithful"): [1.0, 2.0, 3.0]}, [0])


def test_smaller_runs_are_imagined_where_a_run_is_recorded(run, judged):  # noqa: F811
    assert not (run.folder / "records" / "agreement.json").exists()
    measured = {("X1", "faithful"): pd.Series({seed: 1.0 + seed / 99 for seed in range(20)}).rename_axis("seed")}
    published(book.judge, dataclasses.replace(run, profile="digits"), measured, range(20))
    found = records.load("tiny", "agreement", run).table
    assert dict(zip(found["seeds"], found["agrees"])) == {3: 1.0, 5: 1.0, 10: 1.0}


def test_what_is_recorded_is_judged_again_from_its_values(run, judged):  # noqa: F811
    assert judging_of.recorded("tiny", "cifar") is None
    records.publish("tiny", "cifar", run.folder / "records")
    again = judging_of.recorded("tiny", "cifar")
    assert again.interval("X1", "corrected") == judged[0].interval("X1", "corrected")
    assert list(again.verdicts["verdict"]) == list(judged[0].verdicts["verdict"])
