"""A chapter `spoken` that tells of its records, committed and live ones planted, and nothing run."""

import json
from types import SimpleNamespace

import pandas as pd
import torch
import yaml
from nbformat.v4 import new_markdown_cell
from small_book import code, prose, write_chapter

from helpers import verdicts
from helpers.book import Run, judging, parameters, records, runner, sources
from helpers.networks.cache import write
from helpers.verdicts.claims import register

RULE = {"kind": "greater", "quantity": "an effect", "margin": 0.3}
CLAIM = {"chapter": "spoken", "source": "abstract", "known_beforehand": "nothing", "contrast": "a against b"}
CLAIMS = [
    CLAIM | {"id": "S1", "statement": "It grows.", "short": "grows", "arms": {"faithful": RULE, "corrected": RULE}},
    CLAIM | {"id": "S2", "statement": "It shrinks.", "short": "shrinks", "arms": {"corrected": RULE | {"kind": "less"}}},
    CLAIM | {"id": "S3", "statement": "Always.", "arms": {"faithful": {"kind": "by construction", "reason": "always so"}}},
    CLAIM | {"id": "S4", "statement": "Elsewhere.", "profiles": ["cifar"], "arms": {"corrected": RULE}},
]
PARAMETERS = """\
seeds: list = [0, 1, 2]  # seeds; 0..; seeds
scale: float = 1.0  # -; 0..10; a factor
device: str = "auto"  # -; auto|cpu; where to run"""
SETUP = 'import numpy as np\nfrom helpers import book\nrun = book.begin("spoken", globals())'
LIVE = "name = 'a live one'\nrows = book.measure(run, len, seeds)"
TOLD = 'rows = book.recorded(run, "digits").table("values")\nbook.glue("mean", round(float(rows["value"].mean()), 3))'
NESTED = """\
On record the mean is {glue:text}`mean`.

````{note}
```{math}
x
```
````"""
HIGH, LOW, UNSURE = [1.0, 1.1, 1.2], [-1.0, -1.1, -1.2], [-1.0, 0.1, 1.2]


def tagged(name, text, *tags):
    cell = new_markdown_cell(text, metadata={"tags": list(tags)})
    cell.id = name
    return cell


def spoken(root, told=TOLD, **texts):
    """The chapter's notebook, and its claims."""
    said = {"general": "On the whole it grows.", "nested": NESTED, "plain": "A method."} | texts
    cells = [
        prose("title", "# Spoken\n\nOf what?"),
        tagged("strip", "The verdicts stand below.", "strip"),
        code("parameters", PARAMETERS, "parameters"),
        code("setup", SETUP),
        code("live", LIVE),
        code("told", told, "told"),
        tagged("general", said["general"], "result"),
        tagged("of-s1", "It grows.", "result", "claim:S1"),
        tagged("of-s2", "It does not shrink.", "result", "claim:S2"),
        tagged("nested", said["nested"], "result", "claim:S1", "claim:S2"),
        prose("plain", said["plain"]),
    ]
    write(root / "book" / "claims.yml", yaml.safe_dump(CLAIMS, sort_keys=False))
    return write_chapter(root, "spoken", cells)


def run_of(profile="laptop", changes=None):
    values = parameters.resolve("spoken", "laptop") | (changes or {})
    folder = runner.place("spoken", profile, changes)
    return Run("spoken", profile, values, torch.device("cpu"), folder, sources.measuring("spoken"), 1)


def plant(run, measured, share=0.94):
    """The records that judging leaves; of runs of three seeds this share is said to agree, of five a few more."""
    known = register("spoken")
    values = verdicts.tidy(measured, run.parameters["seeds"])
    intervals = verdicts.judging.intervals(values, known)
    found = verdicts.judging.table(intervals, known, run.profile)
    for name, table in {"values": values, "intervals": intervals, "claims": found.assign(computed_by="?")}.items():
        records.save(run, name, table)
    if run.profile in records.RECORDED:
        rows = [[*name, *of] for name in measured for of in ((3, share, 400), (5, share + 0.05, 400))]
        records.save(run, "agreement", pd.DataFrame(rows, columns=["claim", "arm", "seeds", "agrees", "draws"]))
        records.publish("spoken", run.profile, run.folder / "records")


def seeded(values):
    return pd.Series(dict(enumerate(values))).rename_axis("seed")


def measured(faithful=HIGH, corrected=HIGH, shrinks=HIGH, elsewhere=None):
    found = {("S1", "faithful"): faithful, ("S1", "corrected"): corrected, ("S2", "corrected"): shrinks,
             ("S4", "corrected"): elsewhere}  # fmt: skip
    return {name: seeded(values) for name, values in found.items() if values is not None}


def pretend_finished(run, glued=None, finished="2026-01-01T00:00:00"):
    """Make a planted run a finished one whose notebook has no outputs but what it glues: texts, or content by kind."""
    notebook = sources.notebook("spoken")
    prefix, outputs = "application/papermill.record/", []
    for name, given in (glued or {}).items():
        data = given if isinstance(given, dict) else {"text/plain": given}
        kept = {"name": name, "mime_prefix": prefix}
        outputs.append({"output_type": "display_data", "data": {prefix + kind: of for kind, of in data.items()},
                        "metadata": {"scrapbook": kept}})  # fmt: skip
    content = json.loads(json.dumps(notebook))
    next(cell for cell in content["cells"] if cell["id"] == "told")["outputs"] = outputs
    write(run.folder / "notebook.ipynb", json.dumps(content))
    own = runner.changes("spoken", run.profile, run.parameters)
    said = {"key": runner.key("spoken", run.profile, own), "profile": run.profile, "changes": own, "seconds": 0.0,
            "finished": finished, "outputs": runner._outputs(run.folder)}  # fmt: skip
    write(run.folder / "run.json", json.dumps(said))
