"""A run as one HTML file: all that it shows is inside it, and it opens without a network."""

import shutil
import sys

from site_shared import *  # noqa: F403

sys.path.append(str(ROOT / "tests" / "book"))  # where small books are made

from records_shared import measured, plant, pretend_finished, run_of, spoken

from helpers.__main__ import main
from helpers.book import single_page
from helpers.book import site as building

CHANGES = {"scale": 2.0}
DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="40" height="20" fill="#0b57b0"/></svg>'
NESTED = """\
On record the mean is {glue:text}`mean`, as {numref}`fig-drawn` shows: $\\frac{1}{n} \\sum_i x_i$.

````{note}
```{glue:figure} drawn
:name: fig-drawn
:alt: A blue rectangle that stands for a figure.

What is drawn.
```
````"""
PLAIN = """\
A [method](other.md), of {doc}`rerun`, in {ref}`verdicts`, as {term}`frame` has it {cite}`kvinge24a`: see {numref}`fig-drawn`.

$$ \\rho = \\frac{a}{b} $$

Elsewhere: [a site](https://example.org). {download}`CSV <live/spoken/values.csv>`"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of one chapter whose run differs from its record by a parameter and a verdict."""
    root = tmp_path_factory.mktemp("book")
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / "book" / name, root / "book" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    shutil.copy(ROOT / "_config.yml", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERS_ROOT", str(root))
        patch.setenv("LAYERS_REPOSITORY", "https://github.com/owner/name")  # which a single page does not lead to
        spoken(root, nested=NESTED, plain=PLAIN)
        (root / "book" / "profiles" / "smoke").mkdir(parents=True)
        plant(run_of("digits"), measured())
        run = run_of(changes=CHANGES)
        plant(run, measured(faithful=[-1.0, 0.1, 1.2]))
        pretend_finished(run, {"mean": "1.1", "drawn": {"image/svg+xml": DRAWING, "text/plain": "a figure"}})
        yield root


@pytest.fixture(scope="module")
def path(book, tmp_path_factory):
    """The page of its run, away from all that it was made of."""
    out = tmp_path_factory.mktemp("out") / "page.html"
    made = single_page.page("spoken", "laptop", CHANGES)
    assert made == book.resolve() / "_build" / "pages" / f"spoken-{run_of(changes=CHANGES).folder.name}.html"
    return shutil.move(made, out)


@pytest.fixture(scope="module")
def soup(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_everything_is_inside(soup):
    assert [tag["src"][:60] for tag in soup.find_all(src=True) if not tag["src"].startswith("data:")] == []
    links = [tag for tag in soup.find_all(href=True) if not tag["href"].startswith(("data:", "#"))]
    assert {(tag.name, urlsplit(tag["href"]).scheme) for tag in links} == {("a", "https")}
    assert "https://example.org" in [tag["href"] for tag in links]
    assert not [tag["href"] for tag in links if "github" in tag["href"]]
    styles = [tag.get_text() for tag in soup.find_all("style")] + [tag["style"] for tag in soup.find_all(style=True)]
    addresses = [address.strip("'\" ") for text in styles for address in re.findall(r"url\(([^)]{1,20})|@import", text)]
    assert addresses and [each for each in addresses if not each.startswith(("data:", "#"))] == []
    assert not soup.find_all(["form", "iframe", "object"]) and not soup.find_all("script", src=True)


def test_nothing_names_the_folders_it_was_built_in(path, book):
    text = path.read_text(encoding="utf-8")
    assert not [private for private in (str(book), str(ROOT), os.environ.get("TMPDIR", "/tmp") + "/") if private in text]


def test_what_is_on_other_pages_is_plain_text(soup):
    text = next(tag for tag in soup.select("article p") if tag.get_text().startswith("A method")).get_text()
    assert text == "A method, of rerun, in verdicts, as frame has it [Kvinge et al., 2024]: see Fig. 1."
    assert "Henry Kvinge" in soup.select_one(".citation-list, .citation, dl").get_text()
    targets = [unquote(tag["href"][1:]) for tag in soup.select("a[href^='#']") if len(tag["href"]) > 1]
    assert "fig-drawn" in targets and [target for target in targets if not soup.find(id=target)] == []


def test_tables_come_along(soup):
    link = soup.select_one("a.download")
    assert link["download"] == "values.csv" and link["href"].startswith("data:text/csv;base64,")


def test_it_says_how_the_run_stands_to_the_record_and_folds_what_is_not_of_it(soup):
    banner = soup.select_one("article .admonition.warning")
    assert "scale is 2.0, by default 1.0" in banner.get_text() and "inconclusive in this run" in banner.get_text()
    folded = soup.select("article details.sd-dropdown")
    assert len(folded) == 4 and not [each for each in folded if each.has_attr("open")]
    assert {each.summary.get_text(strip=True) for each in folded} == {"What the record shows (not this run)"}
    figure = folded[-1].select_one(".admonition.note figure#fig-drawn")
    assert figure.select_one("figcaption .caption-number").get_text().strip() == "Fig. 1"
    assert figure.img["src"].startswith("data:image/svg+xml") and "the mean is 1.1, as Fig. 1 shows" in folded[-1].get_text()


def test_it_opens_without_a_network(browser, path):
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.evaluate("() => window.MathJax.startup.promise.then(() => true)")
    assert page.locator("mjx-container svg").count() == page.locator(".math").count() == 2
    assert page.evaluate("() => [...document.images].every(image => image.naturalWidth)")
    assert not page.locator("figure#fig-drawn").is_visible()  # until it is unfolded
    page.get_by_text("What the record shows").last.click()
    assert page.locator("figure#fig-drawn").is_visible()
    page.close()
    assert visit(context, path.as_uri()) == []
    context.close()


# Which run


@pytest.fixture
def pretended(book, monkeypatch):
    """No page is built: it has a word and nothing more."""

    def sphinx(staged, target, *options, **environment):
        assert environment == {"LAYERS_REPOSITORY": ""} and (staged / "book" / "spoken.ipynb").exists()
        page = target / "_build" / "html" / "book" / "spoken.html"
        page.parent.mkdir(parents=True)
        page.write_text("<html><head></head><body>A page</body></html>")
        return "fails" not in (staged / "book" / "spoken.ipynb").read_text()

    monkeypatch.setattr(building, "sphinx", sphinx)
    yield
    spoken(book, nested=NESTED, plain=PLAIN)
    shutil.rmtree(run_of("smoke").folder.parent / "smoke", ignore_errors=True)


def test_the_newest_run_is_taken_unless_one_is_named(pretended, capsys):
    run = run_of("smoke")
    plant(run, measured())
    pretend_finished(run, finished="2025-01-01T00:00:00")
    newest = run_of(changes=CHANGES).folder.name
    for options, name in (([], newest), (["--profile", "smoke"], "smoke"), (["-p", "scale", "2"], newest)):
        assert main(["page", "spoken", *options]) == 0
        made = Path(capsys.readouterr().out.strip())
        assert made.name == f"spoken-{name}.html" and "A page" in made.read_text()
    pretend_finished(run, finished="2027-01-01T00:00:00")
    assert main(["page", "spoken"]) == 0 and capsys.readouterr().out.strip().endswith("spoken-smoke.html")


@pytest.mark.parametrize(("options", "told"), [
    (["--profile", "laptop"], "the laptop run is missing; first: python -m helpers run spoken\n"),
    (["--profile", "smoke", "-p", "seeds", "[3, 4]"], "first: python -m helpers run spoken --profile smoke -p seeds '[3, 4]'"),
    (["-p", "scal", "3"], "spoken has no parameter 'scal': expected one of"),
    (["--profile", "smok"], "profile = 'smok': expected one of"),
])  # fmt: skip
def test_a_run_that_is_not_there_is_not_made(pretended, capsys, options, told):
    assert main(["page", "spoken", *options]) == 2
    assert told in capsys.readouterr().err


def test_a_run_that_is_out_of_date_has_no_page(pretended, book, capsys):
    spoken(book, told="book.glue('mean', 2)")
    assert main(["page", "spoken"]) == 2
    assert "is out of date; first: python -m helpers run spoken -p scale '2.0'" in capsys.readouterr().err


def test_a_page_with_a_mistake_is_not_made(pretended, book, capsys):
    spoken(book, nested="It fails.")
    assert main(["page", "spoken"]) == 1
    assert "the page was not built" in capsys.readouterr().err


def test_a_chapter_that_was_never_run_says_how(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LAYERS_ROOT", str(tmp_path))
    spoken(tmp_path)
    assert main(["page", "spoken"]) == 2
    assert "expected a finished run, found none; first: python -m helpers run spoken" in capsys.readouterr().err
