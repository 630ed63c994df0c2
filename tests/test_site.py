"""The built site: what its files say, and what a browser makes of them."""

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections import Counter
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from filelock import FileLock

from helpers import book, claims, sources

pytestmark = pytest.mark.book

ROOT = Path(__file__).parent.parent
CHAPTERS = sources.chapters()
REGISTER = claims.load()
STUDIES = sorted({claim.chapter for claim in REGISTER.values()} & set(CHAPTERS))
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src", "embed": "src", "object": "data"}
HOSTS_OF_SCRIPTS = re.compile(r"unpkg\.com|jsdelivr|cdnjs|googleapis|gstatic|polyfill\.io|bootstrapcdn")
HASH = re.compile(r"[0-9a-f]{16,}")


@pytest.fixture(scope="session")
def site(shared, site_copy):
    """The folder of the site, built once at the smoke profile whatever the number of test processes.

    `LAYERS_SITE` names a site that is already built, to look at that one instead.
    """
    if "LAYERS_SITE" in os.environ:
        return Path(os.environ["LAYERS_SITE"])
    with FileLock(shared / "site.lock"):
        note = shared / "site.txt"
        if not note.exists():
            with pytest.MonkeyPatch.context() as patch:
                for name, value in site_copy.changes.items():
                    patch.setenv(name, value)
                patch.setenv("LAYERS_REPOSITORY", "https://github.com/owner/name")  # pages with every button
                note.write_text(str(book.build("smoke")))
    return Path(note.read_text())


@pytest.fixture(scope="session")
def pages(site):
    """Every page of the site, parsed: {path relative to the site: soup}, but for the redirecting stub."""
    found = {}
    for path in sorted({*site.rglob("*.html")} - {*(site / "_static").rglob("*.html")}):  # there: templates of the theme
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        if not soup.find("meta", attrs={"http-equiv": re.compile("refresh", re.I)}):
            found[path.relative_to(site).as_posix()] = soup
    return found


def elsewhere(address):
    return bool(urlsplit(address).netloc)


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("https://github.com/owner/name", "https://github.com/owner/name"),
        ("https://github.com/owner/na.me.git", "https://github.com/owner/na.me"),
        ("https://token@github.com/owner/name.git", "https://github.com/owner/name"),
        ("git@github.com:owner/name.git", "https://github.com/owner/name"),
        ("ssh://git@github.com/owner/name", "https://github.com/owner/name"),
        ("https://elsewhere.org/owner/name", None),
        ("../a/folder", None),
        ("", None),
    ],
)
def test_launch_buttons_need_a_known_address(address, page, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    from layers_site import repository

    monkeypatch.setenv("LAYERS_REPOSITORY", address)
    assert repository(ROOT) == page


def test_the_address_comes_from_the_runner_or_the_remote(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "book/_ext"))
    from layers_site import repository

    for name in ("LAYERS_REPOSITORY", "GITHUB_SERVER_URL", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert repository(tmp_path) is None
    subprocess.run(["git", "-C", str(tmp_path), "remote", "add", "origin", "git@github.com:owner/name"], check=True)
    assert repository(tmp_path) == "https://github.com/owner/name"
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/fork")
    assert repository(tmp_path) == "https://github.com/someone/fork"


# What the files say


def test_the_table_of_contents_is_on_the_site(site, pages):
    names = {"intro", "rerun", "teach", "glossary", *CHAPTERS}
    assert {f"book/{name}.html" for name in names} <= set(pages)
    assert (site / "index.html").exists()


def test_no_page_loads_anything_from_another_host(pages):
    loaded = [
        (name, tag[attribute])
        for name, soup in pages.items()
        for kind, attribute in LOADED.items()
        for tag in soup.find_all(kind)
        if tag.get(attribute)
    ]
    loaded += [
        (name, tag["href"])
        for name, soup in pages.items()
        for tag in soup.find_all("link", href=True)
        if not set(tag.get("rel", [])) & {"canonical", "license", "author", "next", "prev"}
    ]
    assert [pair for pair in loaded if elsewhere(pair[1])] == []
    assert [name for name, soup in pages.items() if HOSTS_OF_SCRIPTS.search(str(soup.find_all("script")))] == []


def test_no_style_loads_anything_from_another_host(site):
    outside = re.compile(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//")
    styles = list(site.rglob("*.css"))
    assert styles
    assert [path.name for path in styles if outside.search(path.read_text(encoding="utf-8"))] == []


def test_mathjax_is_served_from_the_site(site, pages):
    assert (site / "mathjax/tex-mml-chtml.js").stat().st_size > 100_000
    assert list((site / "mathjax/output/chtml/fonts/woff-v2").glob("*.woff"))
    scripts = [tag["src"] for tag in pages["book/glossary.html"].find_all("script", src=True)]
    assert sum("mathjax/tex-mml-chtml.js" in source for source in scripts) == 1


def test_every_figure_has_real_alt_text(pages):
    images = [(name, image) for name, soup in pages.items() for image in soup.select("article img")]
    assert {f"book/{name}.html" for name in (*STUDIES, "scorecard")} <= {name for name, _ in images}
    for name, image in images:
        alt = (image.get("alt") or "").strip()
        file = Path(urlsplit(image["src"]).path)
        assert len(alt.split()) >= 4, f"{name}: {file.name} has the alt text {alt!r}"
        assert not HASH.search(alt) and file.stem not in alt, f"{name}: {alt!r} is a file's name"


@pytest.mark.parametrize("study", STUDIES)
def test_figures_are_numbered_and_captioned(pages, study):
    figures = pages[f"book/{study}.html"].select("article figure")
    assert figures
    assert all(figure.select_one("figcaption .caption-number") for figure in figures)


def test_nothing_names_this_machine(site):
    private = [str(ROOT), str(site), str(Path.home()) + "/", os.environ.get("TMPDIR", "/tmp").rstrip("/") + "/"]
    private = [path for path in private if len(path) > 2]
    texts = [p for p in site.rglob("*") if p.suffix in {".html", ".ipynb", ".md", ".json", ".csv", ".txt", ".yml"} or p.name == "searchindex.js"]
    found = [
        (path.relative_to(site).as_posix(), word)
        for path in texts
        for word in private
        if word in path.read_text(encoding="utf-8")
    ]
    assert found == []


def test_links_within_the_site_lead_somewhere(site, pages):
    broken = []
    for name, soup in pages.items():
        for tag in soup.find_all("a", href=True):
            address, fragment = urldefrag(tag["href"])
            if elsewhere(address) or urlsplit(address).scheme or tag["href"] == "#":
                continue
            target = ((site / name).parent / unquote(urlsplit(address).path)).resolve() if address else site.resolve() / name
            if not target.exists():
                broken.append((name, tag["href"]))
            elif fragment and target.suffix == ".html":
                page = pages.get(target.relative_to(site.resolve()).as_posix())
                if page is not None and not page.find(id=unquote(fragment)):
                    broken.append((name, tag["href"]))
    assert broken == []


# The scorecard


def claim_rows(page):
    """The rows of the scorecard's tables of claims, {id: row}."""
    found = [(tag.get_text(), tag.find_parent("tr")) for tag in page.select("article .claim[data-chapter]")]
    assert len(found) == len(dict(found))
    return dict(found)


def test_every_claim_stands_once_on_the_scorecard_with_its_verdicts(site, pages):
    rows = claim_rows(pages["book/scorecard.html"])
    card = pd.read_csv(next((site / "_downloads").rglob("scorecard.csv")), keep_default_na=False)
    assert set(rows) == set(REGISTER) and set(card["claim"]) == set(REGISTER)
    for name, row in rows.items():
        claim, cells = REGISTER[name], [cell.get_text(" ", strip=True).replace("’", "'") for cell in row.find_all("td")]
        assert claim.statement in " ".join(cells[0].split()) and cells[1] == claim.source
        places = [(scale, arm) for scale in ("this run", "paper scale") for arm in claims.ARMS]
        for (scale, arm), cell in zip(places, cells[2:], strict=True):
            found = card[(card["claim"] == name) & (card["arm"] == arm) & (card["scale"] == scale)].to_dict("records")
            assert len(found) == (arm in claim.rules)
            for judged in found:
                assert cell.startswith(judged["verdict"]) and judged["note"][:30] in cell
                assert ("n = " in cell) == (judged["estimate"] != "") and ("stale" in cell) == (judged["record"] == "stale")
            assert found or cell == "–"


def test_a_claim_leads_to_where_it_is_judged(pages):
    for name, row in claim_rows(pages["book/scorecard.html"]).items():
        chapter, link = REGISTER[name].chapter, row.select_one(".claim")
        assert link["data-chapter"] == chapter
        if chapter in CHAPTERS:  # that the address is there: the test of all links
            assert link["href"] == f"{chapter}.html#{name.lower()}"
            anchor = pages[f"book/{chapter}.html"].find(id=name.lower())
            assert name in anchor.find_parent("td").get_text() and REGISTER[name].statement[:20] in anchor.find_parent("td").get_text()
        else:
            assert link.name == "span"


@pytest.mark.parametrize("page", [*STUDIES, "scorecard"])
def test_every_table_can_be_had_as_csv_and_json(site, pages, page):
    links = [tag["href"] for tag in pages[f"book/{page}.html"].select("article a.download")]
    files = [(site / "book" / unquote(link)).resolve() for link in links]
    assert {path.suffix for path in files} == {".csv", ".json"} and all(path.exists() for path in files)
    offered = Counter(path.name for path in files)
    for chapter in CHAPTERS if page == "scorecard" else [page]:
        staged = [path for folder in ("live", "records") for path in (site / "../../stage/book" / folder / chapter).glob("*.*")]
        assert staged or "LAYERS_SITE" in os.environ
        assert not Counter(path.name for path in staged) - offered
    for path in files:
        if path.suffix == ".json":
            table = json.loads(path.read_text())["table"]
            other = files[files.index(path) - 1]
            assert other.name == f"{path.stem}.csv" and list(pd.read_csv(other).columns) == list(table)


def test_only_the_scorecard_loads_the_filters(pages):
    loading = [name for name, soup in pages.items() if soup.find("script", src=re.compile(r"scorecard\.js"))]
    assert loading == ["book/scorecard.html"]


# What a browser makes of them


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def address(site):
    """The site behind a local web server, as `http://127.0.0.1:PORT/`."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no browser is installed; `make browser` installs one")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        with playwright.chromium.launch(executable_path=program) as chromium:
            yield chromium


UNFOLD = """() => {
  document.querySelectorAll("details").forEach(part => { part.open = true; });
  document.querySelectorAll(".toggle-hidden").forEach(part => part.classList.remove("toggle-hidden"));
  const style = document.createElement("style");
  style.textContent = "*, *::before, *::after { animation: none !important; transition: none !important; }";
  document.head.append(style);
}"""
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
FIND = """async () => {
  // Contrast follows from how letters look and from the grounds they stand on: of thousands alike five are measured.
  const contrast = axe._audit.getRule("color-contrast"), readable = contrast.matches, grounds = new Map([[null, ""]]), seen = {};
  const ground = e => {
    if (!grounds.has(e)) {
      const s = getComputedStyle(e), own = [s.backgroundColor, s.backgroundImage, s.opacity, s.filter, s.mixBlendMode].join(" ");
      grounds.set(e, ground(e.parentElement) + (own === "rgba(0, 0, 0, 0) none 1 none normal" ? "" : `|${own}`));
    }
    return grounds.get(e);
  };
  const look = (e, s = getComputedStyle(e)) => [s.color, s.fontSize, s.fontWeight, s.textShadow, ground(e)].join();
  contrast.matches = (e, ...more) => readable.call(contrast, e, ...more) && (seen[look(e)] = (seen[look(e)] ?? 0) + 1) <= 5;
  const found = await axe.run(document, { resultTypes: ["violations"], preload: false });
  return found.violations.filter(v => ["serious", "critical"].includes(v.impact))
    .flatMap(v => v.nodes.map(n => `${v.id}: ${n.target.join(" ")} ${n.html.slice(0, 120)} ${n.any.map(a => a.message).join("; ")}`));
}"""


def visit(context, url):
    """Open one page and return what is wrong with it, a list of sentences."""
    requests, wrong = [], []
    page = context.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: wrong.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("response", lambda reply: wrong.append(f"answer {reply.status} {reply.url}") if reply.status >= 400 else None)
    page.goto(url, wait_until="load")
    page.evaluate("() => window.MathJax?.startup?.promise")
    host = urlsplit(url).netloc
    wrong += [f"asks another host: {r}" for r in requests if urlsplit(r).netloc not in ("", host)]  # before axe is loaded
    if page.evaluate("() => document.documentElement.scrollWidth > document.documentElement.clientWidth"):
        wrong.append("wider than the window")
    page.evaluate(UNFOLD)
    page.add_script_tag(content=AXE)
    wrong += page.evaluate(FIND)
    page.close()
    return wrong


def test_one_pale_word_among_thousands_is_found(browser):
    words = [f"<span>{'word ' * 3}</span>"] * 40
    words[20] = "<span style='color: #bbb'>pale</span>"
    words[30] = "<b style='background: #222'>dark on dark</b>"
    page = browser.new_page()
    page.set_content(f"<html lang='en'><title>T</title><main><h1>T</h1><p>{' '.join(words)}</p></main></html>")
    page.add_script_tag(content=AXE)
    findings = page.evaluate(FIND)
    page.close()
    assert [finding.split(":")[0] for finding in findings] == ["color-contrast"] * 2
    assert "pale" in findings[0] and "dark on dark" in findings[1]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_pages_are_self_contained_and_accessible(browser, address, pages, mode, width):
    context = browser.new_context(color_scheme=mode, viewport={"width": width, "height": 900})
    context.add_init_script(f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}');")
    findings = [f"{name}: {finding}" for name in pages for finding in visit(context, address + name)]
    context.close()
    assert not findings, "\n".join(findings)


@pytest.fixture
def scorecard(browser, address):
    page = browser.new_page()
    page.goto(f"{address}book/scorecard.html")
    yield page
    page.close()


def shown(page):
    """The claims that can be seen, in order."""
    return page.evaluate("() => [...document.querySelectorAll('.claim[data-chapter]')].filter(e => e.offsetParent).map(e => e.textContent)")


def test_claims_are_filtered_by_chapter_and_verdict(scorecard, pages):
    rows = claim_rows(pages["book/scorecard.html"])
    of_chapter = [name for name in rows if REGISTER[name].chapter == STUDIES[0]]
    judged = [name for name in rows if "by construction" in [tag.get_text() for tag in rows[name].select(".verdict")]]
    both = [name for name in of_chapter if name in judged]
    assert shown(scorecard) == list(rows) and 0 < len(both) < len(of_chapter)
    count = scorecard.get_by_role("status")
    scorecard.get_by_label("Chapter").select_option(STUDIES[0])
    assert shown(scorecard) == of_chapter and count.text_content() == f"{len(of_chapter)} of {len(rows)} claims shown"
    scorecard.get_by_label("Verdict").select_option("by construction")
    assert shown(scorecard) == both and count.text_content() == f"{len(both)} of {len(rows)} claims shown"
    assert urlsplit(scorecard.url).query == f"chapter={STUDIES[0]}&verdict=by+construction"
    scorecard.reload()
    assert shown(scorecard) == both
    scorecard.get_by_role("button", name="Show all").click()
    scorecard.wait_for_function("() => !location.search")
    assert shown(scorecard) == list(rows) and count.text_content() == f"{len(rows)} of {len(rows)} claims shown"


def test_the_filters_work_from_the_keyboard(scorecard):
    scorecard.get_by_label("Chapter").focus()
    scorecard.keyboard.press("ArrowDown")
    assert {REGISTER[name].chapter for name in shown(scorecard)} == {scorecard.get_by_label("Chapter").input_value()}
    scorecard.keyboard.press("Tab")
    assert scorecard.evaluate("() => document.activeElement.name") == "verdict"
    scorecard.keyboard.press("Tab")
    scorecard.keyboard.press("Enter")
    scorecard.wait_for_function("() => !location.search")
    assert set(shown(scorecard)) == set(REGISTER)


def test_a_choice_that_is_none_shows_everything(scorecard, address):
    scorecard.goto(f"{address}book/scorecard.html?chapter=nowhere&verdict=perhaps")
    assert set(shown(scorecard)) == set(REGISTER)


def test_without_scripts_every_claim_is_there(browser, address):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}book/scorecard.html")
    assert page.locator(".claim[data-chapter]").count() == len(REGISTER) == page.locator(".claim[data-chapter]:visible").count()
    assert page.locator(".scorecard-filter").count() == 0
    context.close()


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_the_filtered_scorecard_is_accessible(browser, address, mode):
    context = browser.new_context(color_scheme=mode, viewport={"width": 390, "height": 900})
    context.add_init_script(f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}');")
    assert visit(context, f"{address}book/scorecard.html?chapter={STUDIES[0]}") == []
    context.close()
