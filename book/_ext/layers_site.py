"""Sphinx extension of this book: a site that asks no other host for anything.

Five small jobs: serve MathJax from the site, drop the scripts of live-code services,
offer launch buttons only where the repository's address is known, mend the markup
that accessibility checkers reject, and give the scorecard its filters.
"""

import os
import re
import shutil
import subprocess
from importlib.metadata import distribution
from pathlib import Path

MATHJAX = "sphinx-mathjax-offline/static/mathjax"
MATHJAX_PARTS = ("tex-mml-chtml.js", "output/chtml/fonts/woff-v2")  # 1.7 MB of the package's 23
ADDRESS = re.compile(r"(?:https?://(?:[^@/]+@)?|ssh://git@|git@)github\.com[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?")
LAUNCH = {
    "binderhub_url": "https://mybinder.org",
    "colab_url": "https://colab.research.google.com",
    "notebook_interface": "jupyterlab",
}
# Service scripts that themes load on every page, used or not.
UNWANTED = ("sphinx-thebe", "THEBE_JS_URL", "unpkg.com", "cdnjs.", "jsdelivr.net")


def copy_mathjax(app):
    """Copy MathJax from its distribution into the output; under `_static` every script would be loaded on every page."""
    if app.builder.format != "html":
        return
    source = Path(distribution("sphinx-mathjax-offline").locate_file(MATHJAX))
    target = Path(app.outdir) / "mathjax"
    for part in MATHJAX_PARTS:
        if (target / part).exists():
            continue
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (source / part).is_dir() else shutil.copyfile
        copy(source / part, target / part)


def repository(folder):
    """Return the GitHub page of the repository (`https://github.com/OWNER/NAME`), or None.

    `LAYERS_REPOSITORY` wins, then the environment of GitHub's runners, then the git remote.
    Only GitHub addresses count: the launch services know no others without more settings.
    """
    address = os.environ.get("LAYERS_REPOSITORY")
    if address is None and "GITHUB_REPOSITORY" in os.environ:
        address = f"{os.environ.get('GITHUB_SERVER_URL', 'https://github.com')}/{os.environ['GITHUB_REPOSITORY']}"
    if address is None:
        command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
        try:
            address = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        except OSError:  # no git here
            return None
    match = ADDRESS.fullmatch(address.strip())
    return f"https://github.com/{match[1]}/{match[2]}" if match else None


def add_repository(app, config):
    """Set launch and repository buttons, or none at all, so that no button leads nowhere."""
    address = repository(app.confdir)
    options = config.html_theme_options
    options["repository_url"] = address or ""
    options["launch_buttons"] = LAUNCH if address else {}
    options["use_repository_button"] = options["use_issues_button"] = bool(address)


def drop_services(app, pagename, templatename, context, doctree):
    """Remove scripts and styles of live-code services from the page."""

    def wanted(asset):
        text = f"{getattr(asset, 'filename', asset)} {getattr(asset, 'attributes', '')}"
        return not any(word in text for word in UNWANTED)

    for kind in ("script_files", "css_files"):
        context[kind] = [asset for asset in context.get(kind, []) if wanted(asset)]


def mend_markup(app, pagename, templatename, context, doctree):
    """Make the bibliography a list of list items; the entries' own role is not allowed inside a list."""
    context["body"] = context.get("body", "").replace('role="doc-biblioentry"', 'role="listitem"')


def add_filters(app, pagename, templatename, context, doctree):
    """Load the script of the filters on the page that has claims to filter, and on no other."""
    if 'class="claim"' in context.get("body", ""):
        app.add_js_file("scorecard.js")


def setup(app):
    """Connect the five jobs to Sphinx."""
    app.connect("config-inited", add_repository)
    app.connect("builder-inited", copy_mathjax)
    app.connect("html-page-context", drop_services, priority=999)
    app.connect("html-page-context", mend_markup, priority=999)
    app.connect("html-page-context", add_filters)
    return {"version": "0.1", "parallel_read_safe": True, "parallel_write_safe": True}
