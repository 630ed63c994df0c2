"""What stands on a page besides figures: text, tables, values for the prose, what was expected, where it comes from."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from IPython import get_ipython
from IPython.display import Markdown, display, publish_display_data
from matplotlib.figure import Figure

from helpers.book import records
from helpers.book.origins import badge, downloads
from helpers.verdicts.claims import register
from helpers.verdicts.intervals import t_interval
from helpers.verdicts.tables import markdown, spell


def show(*texts: str) -> None:
    """Markdown on the page, with its citations and cross-references alive."""
    display(Markdown("\n\n".join(texts)))


def show_table(table: pd.DataFrame, caption: str) -> None:
    """A small table with a caption."""
    show(as_table(table, caption))


def as_table(table: pd.DataFrame, caption: str) -> str:
    """A table with a caption, in MyST."""
    rows = ["| " + " | ".join(map(str, row)) + " |" for row in (table.columns, *table.to_numpy())]
    rows.insert(1, "| --- " * len(table.columns) + "|")
    return "\n".join([f"```{{table}} {caption}", *rows, "```"])


def show_estimates(found: Mapping, columns: Sequence[str], caption: str) -> None:
    """A table of means with their 95 % t-intervals: under each name (or tuple of names) one quantity's values, or several."""
    rows = []
    for name, values in found.items():
        several = values if isinstance(values, tuple) else (values,)
        rows.append([*(name if isinstance(name, tuple) else (name,)), *(spell(t_interval(each)) for each in several)])
    show_table(pd.DataFrame(rows, columns=list(columns)), caption)


def glue(name: str, value) -> None:
    """Keep a value or figure for the prose, where {glue:text} or {glue:figure} puts it.

    What myst_nb.glue does, without the packages that only the site needs.
    """
    prefix = "application/papermill.record/"
    data, metadata = get_ipython().display_formatter.format(value)
    kept = {prefix + kind: content for kind, content in data.items()}
    publish_display_data(kept, {"scrapbook": {"name": name, "mime_prefix": prefix}} | metadata)
    if isinstance(value, Figure):
        plt.close(value)


def show_recorded(run) -> None:
    """The verdicts of a chapter as recorded, profile by profile, or that there are none."""
    for profile in records.recorded(run.chapter):
        record = records.load(run.chapter, "claims", profile)
        known = record is not None and len(record.table)
        table = [markdown(record.table, register(run.chapter), anchors=False)] if known else []
        show(f"### As recorded: {records.RECORDED[profile]}", badge(record), *table)
    if not records.recorded(run.chapter):
        show("### As recorded", badge(None))


def show_provenance(run, *others: str) -> None:
    """Where the numbers of a page come from, and their tables to take along, with those of other chapters."""
    show(badge(run), downloads(run, *others))


def expect(run, expectations: Mapping[str, bool]) -> None:
    """What should come out for the book's own networks, whatever the machine: recorded as `expected`, and shown.

    It never stops a run: a reader's network, or a shorter search, may well do otherwise. `checks` looks at it.
    """
    table = pd.DataFrame({"expectation": list(expectations), "holds": [bool(holds) for holds in expectations.values()]})
    records.save(run, "expected", table)
    shown = table.assign(holds=["yes" if holds else "**no**" for holds in table["holds"]])
    show_table(shown, "Expected of the book's own networks")
