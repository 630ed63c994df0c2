// Filters of the scorecard: claims by chapter and by verdict. Without this script the tables stand whole.
"use strict";

// What belongs to a claim's chapter: all from the heading before its table to the next heading.
const part = (claim) => {
  const siblings = [...claim.closest(".cell_output").children];
  const isHeading = (element) => /^H\d$/.test(element.tagName);
  const at = siblings.findIndex((element) => element.contains(claim));
  const first = siblings.findLastIndex((element, k) => k < at && isHeading(element));
  const next = siblings.findIndex((element, k) => k > at && isHeading(element));
  return siblings.slice(Math.max(first, 0), next < 0 ? undefined : next);
};

document.addEventListener("DOMContentLoaded", () => {
  const rows = [...document.querySelectorAll("article .claim[data-chapter]")].map((claim) => {
    const row = claim.closest("tr");
    const verdicts = [...row.querySelectorAll(".verdict")].map((verdict) => verdict.textContent);
    return { row, chapter: claim.dataset.chapter, verdicts, part: part(claim) };
  });
  if (!rows.length) return;
  const all = "all";
  const form = document.createElement("form");
  form.className = "scorecard-filter";
  form.setAttribute("aria-label", "Filter the claims");

  const choice = (name, label, values) => {
    const field = document.createElement("label");
    const select = document.createElement("select");
    select.name = name;
    select.append(...[all, ...new Set(values)].map((value) => new Option(value, value)));
    field.append(`${label} `, select);
    form.append(field);
    return select;
  };
  const chapter = choice("chapter", "Chapter", rows.map((each) => each.chapter));
  const verdict = choice("verdict", "Verdict in any column", rows.flatMap((each) => each.verdicts));
  const reset = document.createElement("button");
  reset.type = "reset";
  reset.textContent = "Show all";
  const count = document.createElement("output");
  form.append(reset, count);

  const show = () => {
    let shown = 0;
    const filled = new Set();
    for (const each of rows) {
      const wanted = [all, each.chapter].includes(chapter.value) && [all, ...each.verdicts].includes(verdict.value);
      each.row.hidden = !wanted;
      if (wanted) filled.add(each.chapter);
      shown += wanted;
    }
    for (const each of rows) for (const element of each.part) element.hidden = !filled.has(each.chapter);
    count.textContent = `${shown} of ${rows.length} claims shown`;
  };

  // The choice lives in the address, so that a filtered table can be linked to.
  const keep = () => {
    const address = new URL(location.href);
    for (const select of [chapter, verdict]) {
      if (select.value === all) address.searchParams.delete(select.name);
      else address.searchParams.set(select.name, select.value);
    }
    try {
      history.replaceState(history.state, "", address);
    } catch {} // a page opened as a file may not change its address
  };
  const recall = () => {
    const wanted = new URLSearchParams(location.search);
    for (const select of [chapter, verdict]) {
      const value = wanted.get(select.name);
      select.value = [...select.options].some((option) => option.value === value) ? value : all;
    }
    show();
  };
  form.addEventListener("input", () => { show(); keep(); });
  form.addEventListener("reset", () => setTimeout(() => { show(); keep(); }));
  form.addEventListener("submit", (event) => event.preventDefault());
  // A claim that was asked for by its id is shown, whatever the filters were.
  window.addEventListener("hashchange", () => {
    const asked = document.getElementById(location.hash.slice(1));
    if (!asked?.closest("tr")?.hidden) return;
    form.reset();
    setTimeout(() => asked.scrollIntoView());
  });
  rows[0].row.closest(".cell").before(form);
  recall();
});
