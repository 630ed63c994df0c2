"""`list`, `check` and `clean`."""

from small_book import PARAMETERS, code, prose, tiny, write_chapter

from helpers.__main__ import main
from helpers.book import runner
from helpers.networks.cache import write


def test_what_is_up_to_date_is_not_run_again(here, capfd):
    assert main(["run", "tiny"]) == 0
    assert "up to date" in capfd.readouterr().err
    assert main(["list"]) == 0
    listed = [line.split() for line in capfd.readouterr().out.splitlines()]
    today = runner.summary(runner.place("tiny", "laptop"))["finished"][:10]
    assert ["tiny", "laptop", "up", "to", "date", today] in [line[:6] for line in listed]
    assert ["tiny", "smoke", "not", "run"] in listed


def test_runs_with_values_of_ones_own_are_listed(fresh, monkeypatch, capsys):
    monkeypatch.setattr(runner, "_execute", lambda *job: 0.0)
    folder = runner.run("tiny", parameters={"scale": 2, "seeds": [3]})
    assert main(["list"]) == 0
    date = runner.summary(folder)["finished"][:16].split("T")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["tiny", "laptop", "up", "to", "date", *date, "scale=2.0", "seeds=[3]"] in lines
    tiny(fresh, parameters=PARAMETERS.replace("scale", "factor"), measure="1")  # such a run cannot be had any more
    assert main(["list"]) == 0
    assert any("out" in line and "scale=2.0" in line for line in map(str.split, capsys.readouterr().out.splitlines()))


def test_check_names_what_is_untidy(fresh, capsys):
    (fresh / "book" / "claims.yml").write_text("- id: C1\n")
    cells = [
        prose("0123abcd", "# T"),
        code("parameters", "seeds = 1", "parameters"),
        code("wide", f"x = {'1' * 100}"),
        code("narrow", "x = 1\n" * 16),
        code("done", "1"),
    ]
    cells[-1].execution_count = 3
    write_chapter(fresh, "bad", cells)
    write(fresh / "book" / "records" / "digits" / "tiny" / "values.json", "{")
    assert main(["check"]) == 1
    told = capsys.readouterr().out
    for mistake in ("cell 0123abcd", "'seeds = 1'", "cell wide: 1 lines", "cell done: has outputs", "values is unreadable", "C1"):
        assert mistake in told
    assert "narrow" not in told and "tiny: cell" not in told


def test_clean_shows_and_then_empties(fresh, monkeypatch, capsys):
    monkeypatch.setenv("LAYERS_CACHE", str(fresh / "cache"))
    kept = write(fresh / "cache" / "measured" / "a.json", "{}")
    write(kept.with_suffix(".lock"), "")
    page, run = (write(fresh / "_build" / name, "x") for name in ("html/index.html", "runs/tiny/laptop/notebook.ipynb"))
    for options in ([], ["--runs"]):
        assert main(["clean", *options]) == 0 and kept.exists() and page.exists() and run.exists()
        told = capsys.readouterr().out.splitlines()
        assert ["1", "files", "0.0", "MB", str(kept.parent)] in [line.split() for line in told]
    assert main(["clean", "--yes"]) == 0 and not kept.exists() and not page.exists() and run.exists()
    assert f"but for {run.parents[2]}" in capsys.readouterr().out
    assert main(["clean", "--yes", "--runs"]) == 0 and not run.exists()
    assert "but for" not in capsys.readouterr().out
