"""The built site: what its files say and what they leave out."""

from site_shared import *  # noqa: F403


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
    assert {f"book/{name}.html" for name in STUDIES} <= {name for name, _ in images}
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


def test_every_claim_stands_once_on_the_scorecard_with_its_verdicts(site, pages):
    page = pages["book/scorecard.html"]
    rows = claim_rows(page)
    card = pd.read_csv(next((site / "_downloads").rglob("scorecard.csv")), keep_default_na=False)
    assert set(rows) == set(REGISTER) and set(card["claim"]) == set(REGISTER)
    folded = " ".join(page.find("article").get_text(" ").replace("’", "'").split())
    for name, row in rows.items():
        claim, (said, *cells) = REGISTER[name], row.find_all("td")
        assert said.get_text(" ", strip=True).replace("’", "'").split() == [name, *claim.statement.split(), f"({claim.source})"]
        for arm, cell in zip(claims.ARMS, cells, strict=True):
            found = card[(card["claim"] == name) & (card["arm"] == arm)]
            assert len(found) == (arm in claim.rules) * card["scale"].nunique()
            shown = found[(found["record"] != "none") | (found["scale"] == "this run")].to_dict("records")
            text = " ".join(cell.get_text().split())
            assert [word.get_text() for word in cell.select(".verdict")] == [each["verdict"] for each in shown] and (shown or text == "–")
            assert len(cell.find_all("small")) == sum(each["estimate"] != "" for each in shown)
            assert ("stale" in text) == any(each["record"] == "stale" for each in shown)
            assert all(" ".join(each["note"].split())[:20] in folded for each in shown)


def test_every_verdict_is_a_mark_in_the_grid_with_its_name(pages):
    page = pages["book/scorecard.html"]
    marks = {row.a.get_text(): [svg["aria-label"] for svg in row.select("svg")] for row in page.select(".scoregrid tbody tr")}
    assert set(marks) == set(REGISTER)
    for name, row in claim_rows(page).items():
        assert row.find(id=name.lower()) and Counter(marks[name]) == Counter(svg["aria-label"] for svg in row.select("svg"))
