"""A page that speaks of the record, and says when its run is another: the strip of verdicts, the banner, results folded."""

import json
import re

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from helpers.book.records import RECORDED
from helpers.book.standing import AGREES, DIFFERS, UNJUDGED, Beside, Standing
from helpers.verdicts.claims import ARMS, Claim, register

FOLDED = "What the record shows (not this run)"


def speak(page: NotebookNode, chapter: str, standing: Standing | None) -> NotebookNode:
    """Fill the strip, fold the results that are not of this run, and say at the top why. In place.

    Of a chapter without records, where `standing` is None, nothing changes.
    """
    if standing is None:
        return page
    known = register(chapter) if standing.claims else {}
    for cell in page.cells:
        tags = set(cell.metadata.get("tags", ()))
        if cell.cell_type == "markdown" and "strip" in tags:
            cell.source = strip(standing, known)
        elif cell.cell_type == "markdown" and "result" in tags and is_folded(tags, standing):
            cell.source = directive("dropdown", FOLDED, cell.source)
    if standing.changed or standing.differing:
        title = next((place for place, cell in enumerate(page.cells) if cell.cell_type == "markdown"), -1)
        top = new_markdown_cell(banner(standing, known))
        top.id = "banner"
        page.cells.insert(title + 1, top)
    return page


def is_folded(tags: set[str], standing: Standing) -> bool:
    """Is a result folded? Off the defaults each is; or else those about a claim that came out differently, or about none."""
    about = {tag.partition(":")[2] for tag in tags if tag.startswith("claim:")}
    differing = {each.claim for each in standing.differing}
    return bool(standing.changed) or bool(differing) and (not about or bool(about & differing))


def directive(name: str, title: str, body: str, *options: str) -> str:
    """A MyST directive around a text that may hold others."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", body)), default=0))
    return "\n".join([f"{fence}{{{name}}} {title}", *options, "", body, fence])


def strip(standing: Standing, known: dict[str, Claim]) -> str:
    """The verdicts in short: a row a claim, a column an arm; as recorded, and how this run stands to it."""
    found = {(each.claim, each.arm): each for each in standing.claims}
    columns = [arm for arm in ARMS if any(each.arm == arm for each in standing.claims)]
    lines = [" | ".join(["| claim", *columns]) + " |", "| --- " * (1 + len(columns)) + "|"]
    for name in dict.fromkeys(each.claim for each in standing.claims):
        cells = [_cell(found[name, arm]) if (name, arm) in found else "–" for arm in columns]
        lines.append(" | ".join([f"| {_link(name)} {known[name].short or known[name].statement}", *cells]) + " |")
    if any(each.share is not None for each in standing.claims):
        lines += ["", "*Agrees N in 100*: so many runs with as few seeds as this one would reach the verdict of the record; "
                      "*fragile*: fewer than 80."]  # fmt: skip
    return "\n".join(lines)


def banner(standing: Standing, known: dict[str, Claim]) -> str:
    """What differs between this run and the record."""
    value = lambda it: f"`{json.dumps(it, ensure_ascii=False)}`"
    lines = [f"- `{each.name}` is {value(each.value)}, by default {value(each.default)}" for each in standing.changed]
    for each in standing.differing:
        few = f" {known[each.claim].short}" if known[each.claim].short else ""
        told = f"**{each.live}** in this run, **{each.recorded[each.profile]}** on record ({RECORDED[each.profile]})"
        lines.append(f"- {_link(each.claim)}{few}, {each.arm}: {told}")
    lines += ["", "Text that tells of the record, and not of this run, is folded below."]
    return directive("admonition", "This run is not the record", "\n".join(lines), ":class: warning")


def _cell(each: Beside) -> str:
    """Verdicts of one claim and arm: as recorded, those of one word together, and of this run."""
    words = {}
    for profile, verdict in each.recorded.items():
        words.setdefault(verdict, []).append(RECORDED[profile])
    recorded = "; ".join(f"**{verdict}** ({', '.join(where)})" for verdict, where in words.items())
    if not each.profile:
        return recorded
    said = {AGREES: "this run agrees", DIFFERS: f"this run **differs**: {each.live}", UNJUDGED: "was not judged in this run"}
    fragile = ", *fragile*" if each.fragile else ""
    share = f" (agrees {100 * each.share:.0f} in 100{fragile})" if each.share is not None else ""
    return f"{recorded}<br>{said[each.stands]}{share}"


def _link(claim: str) -> str:
    """To where the claim is judged on the page: the anchor is HTML, which MyST would not find."""
    return f'<a href="#{claim.lower()}">{claim}</a>'
