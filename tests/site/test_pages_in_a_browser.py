"""The built pages in a browser: nothing asked of the network, readable in light and dark, wide and narrow."""

from site_shared import *  # noqa: F403


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


@pytest.mark.parametrize(("mode", "width"), [
    ("light", 1280), ("dark", 390), *(pytest.param(*each, marks=pytest.mark.slow) for each in (("light", 390), ("dark", 1280))),
])  # fmt: skip
def test_pages_are_self_contained_and_accessible(browser, address, pages, mode, width):
    context = browser.new_context(color_scheme=mode, viewport={"width": width, "height": 900})
    context.add_init_script(f"localStorage.setItem('mode', '{mode}'); localStorage.setItem('theme', '{mode}');")
    findings = [f"{name}: {finding}" for name in pages for finding in visit(context, address + name)]
    context.close()
    assert not findings, "\n".join(findings)


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


def test_the_scorecard_is_taken_in_at_once_and_is_not_endless(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.goto(f"{address}book/scorecard.html")
    low = page.evaluate("() => document.querySelector('.scoregrid').getBoundingClientRect().bottom")
    height = page.evaluate("() => document.documentElement.scrollHeight")
    wider = "t => t.scrollWidth > t.parentElement.clientWidth"
    wide = page.evaluate(f"() => [...document.querySelectorAll('table.scorecard')].filter({wider}).length")
    page.close()
    assert low <= 800 and height <= 15_000 and wide == 0


def test_a_mark_leads_to_its_claim_even_where_a_filter_hides_it(scorecard):
    name = next(name for name, claim in REGISTER.items() if claim.chapter != STUDIES[0])
    scorecard.get_by_label("Chapter").select_option(STUDIES[0])
    assert name not in shown(scorecard)
    row = scorecard.locator(".scoregrid tbody tr").filter(has=scorecard.get_by_text(name, exact=True))
    row.locator("svg").last.click(force=True)  # the link of the row lies over it
    scorecard.wait_for_function("() => !location.search")
    assert urlsplit(scorecard.url).fragment == name.lower() and set(shown(scorecard)) == set(REGISTER)


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
