"""Verdicts and estimates as a reader sees them."""

import math
from collections.abc import Mapping

import pandas as pd

from helpers.verdicts.claims import Claim


def spell(row) -> str:
    """An estimate with its interval, of anything with `estimate`, `low` and `high`; narrow ones with more digits."""
    width = row.high - row.low
    digits = 2 + (1e-9 < width < 0.02) + (1e-9 < width < 0.002)  # seeds that agree: rounding alone
    values = [f"{value:.{digits}f}".replace("-", "−") for value in (row.estimate, row.low, row.high)]
    return "{} ({} to {})".format(*values) if math.isfinite(width) else values[0]


def markdown(frame: pd.DataFrame, claims: Mapping[str, Claim], anchors: bool = True) -> str:
    """The verdicts as a Markdown table, one row a claim and arm; with anchors, a claim can be linked to by its id."""
    lines = ["| claim | arm | verdict | estimate (95% interval) | bound | n | Holm p |", "| --- " * 7 + "|"]
    for row in frame.itertuples():
        claim, rule = claims[row.claim], claims[row.claim].rules[row.arm]
        first = row.arm == next(iter(claim.rules))
        anchor = f'<span id="{row.claim.lower()}"></span>' if anchors else ""
        measured = isinstance(row.estimate, float) and math.isfinite(row.estimate)
        bound = {"within": f"within ±{rule.bound:g}", "greater": f"> {rule.bound:g}", "less": f"< {rule.bound:g}"}
        lines.append(" | ".join([
            f"| {anchor}**{row.claim}** {claim.statement}" if first else "| ",
            row.arm,
            f"**{row.verdict}**" + (f" ({row.note})" if row.note else ""),
            spell(row) if measured else "–",
            bound.get(rule.kind, "–"),
            f"{row.n:.0f}" if measured else "–",
            (("< 0.001" if row.p_holm < 0.001 else f"{row.p_holm:.3f}") if math.isfinite(row.p_holm) else "–") + " |",
        ]))  # fmt: skip
    return "\n".join(lines)
