"""A page of the site as one file: styles, scripts, fonts, pictures and tables inside it, nothing asked of anybody."""

import base64
import mimetypes
import re
from importlib.metadata import distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

MATHJAX = "sphinx-mathjax-offline/static/mathjax/tex-svg-full.js"  # draws its letters: it needs no fonts, and loads nothing
ELSEWHERE = ("http", "https", "mailto")
# What leads to other pages: the search (whose empty frame the theme asks for), the sidebar, the buttons for the sources.
AROUND = (
    ".bd-sidebar-primary", "#pst-primary-sidebar-checkbox", ".primary-toggle", ".search-button", ".search-button__wrapper",
    "#pst-search-dialog > *", ".dropdown-download-buttons", ".dropdown-source-buttons", ".prev-next-area", "iframe", "form",
)  # fmt: skip
URL = re.compile(r"""url\(\s*(?:"([^"]*)"|'([^']*)'|([^'")]*?))\s*\)""")
IMPORT = re.compile(r"""@import\s+(?:url\()?\s*["']?([^"')]+)["']?\s*\)?\s*;""")
OLD_FONT = re.compile(r""",\s*url\([^)]*\.ttf["']?\)\s*format\(["']?truetype["']?\)""")  # beside the one that browsers take
SOURCE_MAP = re.compile(r"(?://# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ ?\*/)")


def inlined(page: Path) -> str:
    """The HTML of a built page, with all that it loads inside it; links to other pages are plain text."""
    from bs4 import BeautifulSoup  # only who builds the site has it

    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    for tag in soup.select(", ".join(AROUND)):
        tag.decompose()
    _scripts(soup, page.parent)
    for tag in soup.find_all("link"):
        _style(soup, tag, page.parent)
    for tag in soup.find_all(src=True):
        tag["src"] = data(tag["src"], page.parent)
    for tag in soup.find_all(style=URL):
        tag["style"] = _without_urls(tag["style"], page.parent)
    places = {tag["id"] for tag in soup.find_all(id=True)}
    for tag in soup.find_all("a", href=True):
        _link(tag, page, places)
    return str(soup)


def data(address: str, folder: Path) -> str:
    """What an address leads to, as one that holds it; an empty one where that is nothing of this site."""
    if address.startswith(("data:", "#")):
        return address
    if (path := _file(address, folder)) is None:
        return "data:,"
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _file(address: str, folder: Path) -> Path | None:
    """The file of this site that an address leads to."""
    parts = urlsplit(address)
    path = (folder / unquote(parts.path)).resolve()
    return path if not parts.scheme and not parts.netloc and parts.path and path.is_file() else None


def _scripts(soup, folder: Path) -> None:
    """Scripts as text, those that wait for the page at its end; those of other hosts are left out, but for MathJax."""
    late = []
    for tag in soup.find_all("script"):
        source = tag.get("src", "")
        if "thebe" in source or "thebe" in tag.get("type", "") or "THEBE" in tag.get_text():
            tag.decompose()
        elif source:
            offline = Path(distribution("sphinx-mathjax-offline").locate_file(MATHJAX))
            path = offline if "mathjax" in source.lower() else _file(source, folder)
            if path is None:
                tag.decompose()
                continue
            if tag.has_attr("defer") or tag.has_attr("async") or path == offline:
                late.append(tag.extract())
            for name in ("src", "defer", "async"):
                tag.attrs.pop(name, None)
            text = SOURCE_MAP.sub("", path.read_text(encoding="utf-8"))
            tag.string = text.replace("</script", r"<\/script")
    soup.body.extend(late)


def _style(soup, tag, folder: Path) -> None:
    """A style sheet as text and an icon as data; other links of the head lead to other pages."""
    kinds, path = tag.get("rel", []), _file(tag.get("href", ""), folder)
    if "stylesheet" in kinds and path:
        style = soup.new_tag("style")
        style.string = _sheet(path)
        tag.replace_with(style)
    elif "icon" in kinds and path:
        tag["href"] = data(tag["href"], folder)
    else:
        tag.decompose()


def _sheet(path: Path) -> str:
    """A style sheet with those that it imports, and with its fonts and pictures."""
    text = OLD_FONT.sub("", SOURCE_MAP.sub("", path.read_text(encoding="utf-8")))
    imported = lambda match: _sheet(found) if (found := _file(match[1], path.parent)) else ""
    return _without_urls(IMPORT.sub(imported, text), path.parent)


def _without_urls(text: str, folder: Path) -> str:
    """Styles whose fonts and pictures are inside them."""
    return URL.sub(lambda match: f'url("{data(next(filter(None, match.groups()), ""), folder)}")', text)


def _link(tag, page: Path, places: set[str]) -> None:
    """A link within the page or to another host stays; a table comes along; a link to another page becomes its text."""
    parts, path = urlsplit(tag["href"]), _file(tag["href"], page.parent)
    if parts.scheme in ELSEWHERE:
        return
    if path is not None and "download" in tag.get("class", []):
        tag["download"] = path.name
        tag["href"] = data(tag["href"], page.parent)
    elif not parts.path or path == page.resolve():
        if parts.fragment and unquote(parts.fragment) not in places:
            tag.unwrap()
        else:
            tag["href"] = f"#{parts.fragment}"
    else:
        tag.unwrap()
