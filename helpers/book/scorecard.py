"""The scorecard: the verdicts on every claim, as recorded and of this run, counted, told in a sentence and in tables."""

from collections.abc import Mapping, Sequence

import pandas as pd
from IPython.display import Markdown

from helpers.book import page, records, sources
from helpers.book.judging import live_seeds
from helpers.book.origins import badge, downloads
from helpers.book.scoregrid import SHAPES, grid, mark, short
from helpers.verdicts import claims, spell
from helpers.verdicts.agreement import FRAGILE
from helpers.verdicts.claims import ARMS, Claim, Rule
from helpers.verdicts.judging import counts as counts_of

LIVE = "this run"  # a scale beside those that are recorded
KEYS = ["claim", "arm"]
FOUND = ["verdict", "estimate", "low", "high", "n", "p", "p_holm", "method", "note", "rule"]
WORDS = ["chapter", *KEYS, "scale", "source", "origin", "record", "verdict", "method", "note", "rule", "current_rule"]
ORIGINS = {"paper": "seen in the paper", "inferred": "inferred or remembered", "own": "our own questions"}
WHEN = {"greater": "above {0:g}", "less": "below {0:g}", "within": "within ±{0:g}", "two-sided": "either side of 0"}
FINDING = """\
{where}, **{faithful_holds} of {faithful_claims} headline claims hold as published, \
and {corrected_holds} of {corrected_claims} with a corrected measurement**; \
{faithful_not} and {corrected_not} do not, the rest are negligible, undecided or by construction. \
Of the questions, {faithful_answered} of {faithful_asked} and {corrected_answered} of {corrected_asked} are answered."""


def register(chapters: Sequence[str]) -> dict[str, Claim]:
    """Every claim by id, those of these chapters first, in their order."""
    known = claims.load()
    order = dict.fromkeys([*chapters, *(claim.chapter for claim in known.values())])
    return {name: claim for chapter in order for name, claim in known.items() if claim.chapter == chapter}


def gathered(run, known: Mapping[str, Claim]) -> pd.DataFrame:
    """The verdicts, one row a claim, arm and scale; recorded as `scorecard`, and counted as `glance`.

    Scales are the recorded profiles, and this run. What no run has judged is "no record". `agrees` is the share of runs
    of as many `seeds` as this one has, or about as many, that would reach a recorded verdict.
    """
    scales = {title: profile for profile, title in records.RECORDED.items()} | {LIVE: run.profile}
    chapters = dict.fromkeys(claim.chapter for claim in known.values())
    parts = [_part(run, known, chapter, scale, profile) for chapter in chapters for scale, profile in scales.items()]
    card = pd.concat([part.astype(object) for part in parts], ignore_index=True)
    card["verdict"] = card["verdict"].fillna("no record")
    card = card.infer_objects()
    card["rule_changed"] = card["rule"].notna() & (card["rule"] != card["current_rule"])
    card["fragile"] = card["agrees"].astype(float) < FRAGILE
    records.save(run, "scorecard", card.astype(dict.fromkeys(WORDS, "category")), digits=6)
    records.save(run, "glance", counts(card))
    return card


def _part(run, known: Mapping[str, Claim], chapter: str, scale: str, profile: str) -> pd.DataFrame:
    """The rows of one chapter at one scale."""
    record = records.load(chapter, "claims", profile)
    rules = [(claim, arm, rule) for claim in known.values() if claim.chapter == chapter for arm, rule in claim.rules.items()]
    table = pd.DataFrame([
        {"chapter": chapter, "claim": claim.id, "arm": arm, "scale": scale, "source": claim.source, "origin": claim.origin,
         "headline": claim.headline, "question": rule.kind == "two-sided", "current_rule": rule.hash,
         "record": "none" if record is None else record.status}
        for claim, arm, rule in rules
    ])  # fmt: skip
    found = pd.DataFrame() if record is None else record.table
    table = table.merge(found.reindex(columns=[*KEYS, *FOUND]), on=KEYS, how="left")
    return table.merge(_agreement(run, chapter, profile), on=KEYS, how="left")


def _agreement(run, chapter: str, profile: str) -> pd.DataFrame:
    """How often runs of as many seeds as this one reach a recorded verdict; of the number of seeds that is nearest."""
    record = records.load(chapter, "agreement", profile) if profile in records.RECORDED else None
    columns = [*KEYS, "seeds", "agrees"]
    if record is None or not len(record.table):
        return pd.DataFrame(columns=columns)
    live = records.load(chapter, "values", run.profile)
    values = pd.DataFrame(columns=[*KEYS, "seed"]) if live is None or not len(live.table) else live.table
    own = values.groupby(KEYS, observed=True)["seed"].nunique().rename("own").reset_index()
    usual = max(live_seeds(chapter), default=0)
    table = record.table.merge(own, on=KEYS, how="left")
    apart = (table["seeds"] - table["own"].fillna(usual).astype(float)).abs()
    nearest = table.assign(apart=apart).sort_values("apart", kind="stable").drop_duplicates(KEYS)
    return nearest[columns]


def counts(card: pd.DataFrame) -> pd.DataFrame:
    """How many claims have which verdict, by origin, question or not, scale and arm; the signs of questions together."""
    signs = ["positive", "negative"]
    counted = card.assign(verdict=card["verdict"].replace(signs, " or ".join(signs)))
    columns = ["origin", "question", "scale", "arm", "verdict"]
    return counted.groupby(columns, as_index=False, sort=False).size().rename(columns={"size": "claims"})


def scales_of(card: pd.DataFrame) -> list[str]:
    """The recorded scales at which there is anything, in order, and this run."""
    return list(dict.fromkeys([*card.loc[card["record"] != "none", "scale"].sort_values(key=_order), LIVE]))


def _order(scales: pd.Series) -> pd.Series:
    known = [*records.RECORDED.values(), LIVE]
    return scales.map(known.index)


def finding(card: pd.DataFrame, known: Mapping[str, Claim]) -> str:
    """What became of the headline claims, in a sentence or two, at the first scale that has records."""
    headline = card[card["headline"]]
    found = headline[headline["record"] != "none"]
    if not len(found):
        return "No chapter with headline claims is recorded or has run yet."
    scale = scales_of(found)[0]
    part = found[found["scale"] == scale]
    chapters = part["chapter"].nunique(), headline["chapter"].nunique()
    some = "" if chapters[0] == chapters[1] else f" (so far {chapters[0]} of {chapters[1]} papers)"
    where = "In this run (nothing is recorded yet)" if scale == LIVE else f"On {scale}{some}"
    n, directed = counts_of(part, known), part[~part["question"]]["arm"].value_counts()
    of = {f"{arm}_claims": directed.get(arm, 0) for arm in ARMS} | n
    return FINDING.format(where=where, **of)


def glance(card: pd.DataFrame, known: Mapping[str, Claim]) -> None:
    """What stands at the head of the page, kept for it: the finding, and the grid. Shows every verdict counted."""
    page.glue("finding", Markdown(finding(card, known)))
    page.glue("grid", grid(card, known, scales_of(card)))
    page.glue("fragile", round(100 * FRAGILE))
    page.show(folded("Every verdict, counted", tallies(card)))


def tallies(card: pd.DataFrame) -> str:
    """How many claims have which verdict, as a table: faithful / corrected, by origin, kind and scale."""
    scales, verdicts = scales_of(card), [*SHAPES, "no record"]
    found = counts(card[card["scale"].isin(scales)]).set_index(["origin", "question", "verdict", "scale", "arm"])["claims"]
    place = lambda row: ([*ORIGINS].index(row[0]), row[1], verdicts.index(row[2].partition(" or ")[0]))
    lines = [f"| claims | verdict | {' | '.join(map(short, scales))} |", "| --- " * (2 + len(scales)) + "|"]
    for origin, question, verdict in sorted({row[:3] for row in found.index}, key=place):
        numbers = [" / ".join(str(found.get((origin, question, verdict, scale, arm), 0)) for arm in ARMS) for scale in scales]
        kind = f"{ORIGINS[origin]}, {'without' if question else 'with'} a direction"
        lines.append(f"| {kind} | {verdict} | {' | '.join(numbers)} |")
    return "Faithful / corrected.\n\n" + _table(lines)


def folded(title: str, *texts: str) -> str:
    """A part of the page that a click opens."""
    return "\n".join([f"`````{{dropdown}} {title}", "\n\n".join(texts), "`````"])


def chapter(run, card: pd.DataFrame, known: Mapping[str, Claim], name: str) -> list[str]:
    """A chapter's part of the page: its heading, its claims with their verdicts; notes, origins and rules folded."""
    part = card[card["chapter"] == name]
    written = name in sources.chapters()
    of = {claim: known[claim] for claim in part["claim"].unique()}
    lines = ["| claim | faithful | corrected |", "| --- | --- | --- |"]
    for claim in of.values():
        rows = part[part["claim"] == claim.id]
        cells = " | ".join(cell(rows[rows["arm"] == arm]) for arm in ARMS)
        lines.append(f"| {_named(claim, written)} {claim.statement} *({claim.source})* | {cells} |")
    origins = [f"This run: {badge(run)}"]
    for profile, title in records.RECORDED.items():
        if profile in records.recorded(name):
            origins.append(f"{title}: {badge(records.load(name, 'claims', profile))}")
    return [
        f"### {{doc}}`{name}`" if written else f"### {name.capitalize()}, not written yet",
        _table(lines, "verdicts"),
        folded("Notes, and where the numbers come from", *origins, notes(part)),
        folded("The rules", rules(of)),
    ]


def _named(claim: Claim, written: bool) -> str:
    """The id of a claim, which leads to where its chapter judges it; the grid leads here."""
    tag, where = ("a", f' href="{claim.chapter}.html#{claim.id.lower()}"') if written else ("span", "")
    return f'<{tag} class="claim" id="{claim.id.lower()}" data-chapter="{claim.chapter}"{where}>**{claim.id}**</{tag}>'


def _table(lines: Sequence[str], kind: str = "details") -> str:
    """A table in small print; of its kind the style sheet knows the rest."""
    return "\n".join(["````{table}", f":class: scorecard {kind}", "", *lines, "````"])


def cell(rows: pd.DataFrame) -> str:
    """The verdicts on one claim in one arm, a line a scale, with the estimate and how many small runs agree."""
    shown = rows[(rows["record"] != "none") | (rows["scale"] == LIVE)]
    return "<br>".join(_line(row) for row in shown.itertuples()) or "–"


def _line(row) -> str:
    sign = mark(row.verdict, row.arm, row.fragile)
    said = [f'{short(row.scale)}:{sign and f" {sign}"} <span class="verdict">{row.verdict}</span>']
    said += ["*rule changed since*"] * row.rule_changed + [f"*{row.record}*"] * (row.record in ("stale", "unreadable"))
    numbers = [spell(row)] if pd.notna(row.estimate) else []
    if pd.notna(row.agrees):
        share = f"{100 * row.agrees:.0f}%"
        numbers.append(f"*fragile, {share}*" if row.fragile else f"{share} agree")
    return ", ".join(said) + (f"<br><small>{'; '.join(numbers)}</small>" if numbers else "")


def notes(part: pd.DataFrame) -> str:
    """Numbers behind the verdicts of a chapter that their table leaves out, and notes."""
    lines = ["| claim | arm | where | n | Holm&nbsp;p | note |", "| --- " * 6 + "|"]
    for row in part[part["verdict"] != "no record"].itertuples():
        n = f"{row.n:.0f}" if pd.notna(row.n) else "–"
        p = "–" if pd.isna(row.p_holm) else "<&nbsp;0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}"
        note = " ".join(row.note.split()) if isinstance(row.note, str) else ""
        lines.append(f"| **{row.claim}** | {row.arm} | {short(row.scale)} | {n} | {p} | {note} |")
    return _table(lines) if len(lines) > 2 else "Nothing has been judged yet."


def rules(known: Mapping[str, Claim]) -> str:
    """What was to be measured, compared with what, and when it counts."""
    lines = ["| claim | arm | quantity | holds when | margin |", "| --- " * 5 + "|"]
    for name, claim in known.items():
        about = f"*{claim.contrast}; known beforehand: {claim.known_beforehand}.*<br>"
        for arm, rule in claim.rules.items():
            quantity = " ".join((rule.quantity or rule.reason).split())
            lines.append(f"| **{name}** | {arm} | {about}{quantity} | {_when(rule)} | {rule.margin or '–'} |")
            about = ""  # once a claim
    return _table(lines)


def _when(rule: Rule) -> str:
    return WHEN.get(rule.kind, rule.kind).format(rule.bound)


def take(run) -> None:
    """Where the numbers of this page come from, and the tables of every chapter to take along, folded."""
    page.show(badge(run), folded("All tables", downloads(run, *(name for name in sources.chapters() if name != run.chapter))))
