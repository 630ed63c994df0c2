"""The scorecard in one picture: a table of marks, in which a reader sees every verdict at once, and which leads to each.

It is HTML and no figure: an id leads to its claim, a reader of the screen hears every mark, it follows dark mode and narrow
screens. Shapes alone tell verdicts and arms apart; colours come with the style sheet of the site.
"""

from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd
from IPython.display import HTML

from helpers.verdicts.claims import ARMS, Claim

SHAPES = {  # in a square from -8 to 8
    "holds": "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0 -11 0z",
    "negligible": "M-2.5 0a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0z",
    "does not hold": "M-6-3.4L-3.4-6 0-2.6 3.4-6 6-3.4 2.6 0 6 3.4 3.4 6 0 2.6-3.4 6-6 3.4-2.6 0z",
    "positive": "M0-6L6 5H-6z",
    "negative": "M0 6L6-5H-6z",
    "none": "M-6-2H6V2H-6z",
    "inconclusive": "M0-6.5L6.5 0 0 6.5-6.5 0z",
    "by construction": "M-5-5H5V5H-5z",
    "not judged": "M-2.5 0H2.5",
}
SHORT = {"the paper's scale": "paper"}
MEANING = {"paper": "seen in the paper", "inferred": "inferred or remembered", "own": "our own question"}


def mark(verdict: str, arm: str, fragile: bool = False) -> str:
    """A verdict as a small picture with a name: hollow for faithful, filled for corrected, with a line below if fragile."""
    if verdict not in SHAPES:
        return ""
    said = ", ".join([f"{arm}: {verdict}", *["fragile"] * fragile])
    fill = "none" if arm == "faithful" else "currentColor"
    line = '<path class="fragile" d="M-7 8.3H7"/>' * fragile
    kind = verdict.replace(" ", "-")
    return (f'<svg class="sign {kind}" role="img" aria-label="{said}" width="15" height="16" viewBox="-8 -7.5 16 17" '
            f'stroke="currentColor" stroke-width="1.6" fill="{fill}"><path d="{SHAPES[verdict]}"/>{line}</svg>')  # fmt: skip


def short(scale: str) -> str:
    """A scale's name where there is little room."""
    return SHORT.get(scale, scale)


def grid(card: pd.DataFrame, known: Mapping[str, Claim], scales: Sequence[str]) -> HTML:
    """Every claim as a row of marks, by chapter, and what the marks mean.

    Args:
        card: one row a claim, arm and scale, with `chapter`, `verdict` and `fragile`.
        known: claims by id.
        scales: the columns, in order.
    """
    found = {(row.claim, row.scale, row.arm): row for row in card.itertuples()}
    heads = "".join(f'<th scope="col" colspan="2"><span>{escape(short(scale))}</span></th>' for scale in scales)
    head, blocks = f"<thead><tr><td></td>{heads}</tr></thead>", []
    for chapter in dict.fromkeys(claim.chapter for claim in known.values()):
        rows = "".join(_row(claim, found, scales) for claim in known.values() if claim.chapter == chapter)
        blocks.append(f"<table><caption>{chapter.capitalize()}</caption>{head}<tbody>{rows}</tbody></table>")
    legend = f'<figcaption>{_legend(card[card["scale"].isin(scales)])}</figcaption>'
    return HTML(f'<figure class="scoregrid"><div>{"".join(blocks)}</div>{legend}</figure>')


def _row(claim: Claim, found: Mapping, scales: Sequence[str]) -> str:
    rows = [[found.get((claim.id, scale, arm)) for arm in ARMS] for scale in scales]
    marks = [mark(row.verdict, row.arm, row.fragile) if row else "" for pair in rows for row in pair]
    cells = "".join(f"<td>{each}</td>" for each in marks)
    link = f'<a class="{claim.origin}" href="#{claim.id.lower()}" title="{escape(claim.statement)}">{claim.id}</a>'
    return f'<tr><th scope="row">{link}</th>{cells}</tr>'


def _legend(card: pd.DataFrame) -> str:
    """What the marks mean that there are, and how the ids are written."""
    signs = [f"{mark(verdict, 'corrected')}&nbsp;{verdict}" for verdict in SHAPES if verdict in set(card["verdict"])]
    hollow, filled = mark("holds", "faithful"), mark("holds", "corrected")
    arms = f"{hollow}&nbsp;hollow: faithful, as published; {filled}&nbsp;filled: corrected"
    if card["fragile"].any():
        arms += f"; {mark('holds', 'corrected', True)}&nbsp;underlined: fragile, a fifth of small runs would miss it"
    ids = [f'<span class="{origin}">{MEANING[origin]}</span>' for origin in MEANING if origin in set(card["origin"])]
    spans = " ".join(f"<span>{sign}</span>" for sign in signs)
    return f"<p>{spans}</p><p>{arms}; nothing: no record. Ids lead to their claims: {', '.join(ids)}.</p>"
