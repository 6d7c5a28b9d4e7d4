"""Markdown to HTML that is safe in a page: rendered from text alone, then filtered by a list of allowed
tags."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt

TAGS = frozenset(
    "p br hr h1 h2 h3 h4 h5 h6 em strong s code pre blockquote ul ol li a table thead tbody tr th td".split()
)  # no images: showing one is a request to another server
SCHEMES = frozenset({"http", "https", "mailto"})
REL = "noopener noreferrer nofollow"


def render(text: str) -> str:
    """The HTML of an untrusted text. HTML in it is shown as text; links may use http, https and mailto
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
    """Whether this is an absolute address: a relative one would be a path of the program."""
    scheme, colon, _ = url.partition(":")
    return bool(colon) and scheme.strip().lower() in SCHEMES
