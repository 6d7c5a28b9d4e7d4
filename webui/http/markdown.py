"""Markdown to HTML that is safe to put into a page: made from text alone, then let through a list of what may
be in it."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt

TAGS = frozenset(
    "p br hr h1 h2 h3 h4 h5 h6 em strong s code pre blockquote ul ol li a table thead tbody tr th td".split()
)  # no images: showing one would tell another server
SCHEMES = frozenset({"http", "https", "mailto"})
REL = "noopener noreferrer nofollow"


def render(text: str) -> str:
    """The HTML of a text that may be anybody's. HTML in it stays text; links lead to http, https and mailto
    only."""
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    parser.validateLink = _leads_out
    return nh3.clean(
        parser.render(text),
        tags=set(TAGS),
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes=set(SCHEMES),
        url_relative="deny",
        link_rel=REL,
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def _leads_out(url: str) -> bool:
    """Whether this is a whole address: a relative one would lead into the program."""
    scheme, colon, _ = url.partition(":")
    return bool(colon) and scheme.strip().lower() in SCHEMES
