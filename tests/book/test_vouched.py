"""What was edited, cut short or removed since it was made is found, and made again."""

import json

import pytest

from helpers import book
from helpers.__main__ import main
from helpers.book import measuring, records, runner, site
from helpers.networks.cache import write


@pytest.fixture
def laptop(fresh, monkeypatch):
    """The folder of a finished run of `tiny`, whose notebook and two records are made up; `made` counts them."""
    laptop_made = []

    def execute(chapter, profile, values, folder):
        laptop_made.append(profile)
        for name in ("notebook.ipynb", "records/claims.json", "records/deep/values.npz"):
            write(folder / name, f"of {name}")
        return 0.0

    monkeypatch.setattr(runner, "_execute", execute)
    folder = runner.run("tiny")
    monkeypatch.setattr(runner, "made", laptop_made, raising=False)
    return folder


@pytest.mark.parametrize(("name", "content", "told"), [
    ("records/claims.json", "of recorts/claims.json", "records/claims.json was changed since: run again"),
    ("records/claims.json", "", "records/claims.json was changed since"),
    ("records/deep/values.npz", None, "records/deep/values.npz is missing"),
    ("notebook.ipynb", None, "notebook.ipynb is missing"),
    ("notebook.ipynb", "of", "notebook.ipynb was changed since"),
    ("records/more.json", "{}", "records/more.json was added since"),
    ("run.json", "{", "run.json is damaged"),
    ("run.json", "[]", "run.json is damaged"),
    ("run.json", '{"key": 1}', "run.json is damaged"),
])  # fmt: skip
@pytest.mark.parametrize("how", ["run", "build"])
def test_outputs_that_are_not_as_they_were_made_are_made_again(laptop, capsys, how, name, content, told):
    assert main(["list"]) == 0 and "up to date" in capsys.readouterr().out
    (laptop / name).unlink(missing_ok=True)
    if content is not None:
        (laptop / name).write_text(content)
    assert not runner.finished(laptop, runner.key("tiny"))
    assert main(["list"]) == 0 and "out of date" in capsys.readouterr().out
    write(laptop.parents[3] / "book" / "claims.yml", "[]")
    assert main(["check"]) == 1
    assert f"tiny/laptop: {told}" in capsys.readouterr().out
    with pytest.raises(site.BuildFailed, match="out of date"):
        site.executed("tiny")
    runner.run("tiny") if how == "run" else site.run_all("laptop")
    assert f"tiny: {told}" in capsys.readouterr().err
    assert runner.made == ["laptop", "laptop"]
    assert runner.finished(laptop, runner.key("tiny")) and main(["check"]) == 0
    runner.run("tiny")
    assert runner.made == ["laptop", "laptop"]


def test_what_a_reader_puts_beside_the_outputs_does_no_harm(laptop):
    write(laptop / ".ipynb_checkpoints" / "notebook.ipynb", "x")
    write(laptop / "page.html", "x")
    assert runner.finished(laptop, runner.key("tiny"))


def test_committed_records_are_vouched_for(fresh, capsys):
    write(fresh / "book" / "claims.yml", "[]")
    made = [write(fresh / "made" / name, "{}") for name in ("values.json", "values.npz")]
    records.publish("tiny", "paper", made[0].parent)
    committed = records.location("tiny", "paper")
    sums = (committed / "SHA256SUMS").read_text().splitlines()
    assert [line.split("  ")[1] for line in sums] == ["values.json", "values.npz"]
    main(["check"])
    assert "SHA256SUMS" not in (told := capsys.readouterr().out) and "since" not in told
    (committed / "values.npz").write_text("{} ")
    (committed / "values.json").unlink()
    assert main(["check"]) == 1
    told = capsys.readouterr().out
    assert "records/paper/tiny: values.npz was changed since" in told and "records/paper/tiny: values.json is missing" in told


def test_a_digit_altered_in_a_kept_measurement_is_measured_again(fresh, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LAYERS_RUN", raising=False)
    run = book.begin("tiny", {"seeds": [1], "scale": 1.0, "dataset": "digits", "device": "cpu"})

    def square(case):
        return {"square": case * 1.25}

    assert measuring.measure(run, square, [{"case": 1}])["square"].tolist() == [1.25]
    (kept,) = (tmp_path / "cache" / "measured").glob("*.json")
    whole = kept.read_text()
    kept.write_text(whole.replace("1.25", "1.75"))
    assert json.loads(kept.read_text())["kept"] == {"result": {"square": 1.75}}
    assert measuring.measure(run, square, [{"case": 1}])["square"].tolist() == [1.25]
    assert "is damaged" in capsys.readouterr().err and kept.read_text() == whole
