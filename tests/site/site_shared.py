"""What the tests of site share."""

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

from helpers.book import site as site_module
from helpers.book import sources
from helpers.verdicts import claims

ROOT = Path(__file__).parents[2]
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
                note.write_text(str(site_module.build("smoke")))
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


# The scorecard


def claim_rows(page):
    """The rows of the scorecard's tables of claims, {id: row}."""
    found = [(tag.get_text(), tag.find_parent("tr")) for tag in page.select("article .claim[data-chapter]")]
    assert len(found) == len(dict(found))
    return dict(found)


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


@pytest.fixture
def scorecard(browser, address):
    page = browser.new_page()
    page.goto(f"{address}book/scorecard.html")
    yield page
    page.close()


def shown(page):
    """The claims that can be seen, in order."""
    return page.evaluate("() => [...document.querySelectorAll('.claim[data-chapter]')].filter(e => e.offsetParent).map(e => e.textContent)")
