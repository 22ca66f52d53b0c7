"""Sphinx's configuration: `make docs` builds the site from these pages, and every warning is an error."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util import logging

DOCS = Path(__file__).resolve().parent
project = "Thermocline"
author = "The Thermocline maintainers"
copyright = "The Thermocline maintainers"  # noqa: A001 - Sphinx's name for it
extensions = ["myst_parser"]
exclude_patterns = ["constraints.txt"]
html_theme = "furo"
html_title = "Thermocline"
html_copy_source = False
# Anchors of headings are those that a repository's own view of a page has.
myst_heading_anchors = 4
nitpicky = True


def name_what_is_elsewhere(_: Sphinx, page: str, source: list[str]) -> None:
    """A link to a file of the repository that is no page leads nowhere on the site: its path stands there instead."""

    def named(link: re.Match[str]) -> str:
        target = (DOCS / page).parent.joinpath(link[2]).resolve()
        if target.is_relative_to(DOCS):
            return link[0]
        if not target.exists():
            logging.getLogger(__name__).warning("%s links to %s, which is not there", page, link[2])
        return f"{link[1]} (`{target.relative_to(DOCS.parent)}`)"

    source[0] = re.sub(r"\[([^]]+)\]\((\.\./[^)#]+)\)", named, source[0])


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", name_what_is_elsewhere)
