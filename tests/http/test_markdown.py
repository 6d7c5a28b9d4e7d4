"""Markdown of anybody becomes HTML that can do nothing but be read."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from webui.http.markdown import REL, TAGS, render


class Reader(HTMLParser):
    """Reads as a browser would: the tags with their attributes, and the text."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.text, self.others = [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def handle_comment(self, data):
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def read(text: str) -> Reader:
    """What a text becomes, checked against everything that must never be in it."""
    html = Reader(render(text))
    assert not html.others
    for tag, attributes in html.tags:
        assert tag in TAGS
        if tag == "a":
            assert attributes.get("href", "http:").split(":")[0].lower() in ("http", "https", "mailto")
            assert attributes["rel"] == REL and attributes["target"] == "_blank"
            assert set(attributes) <= {"href", "rel", "target", "title"}
        else:
            assert set(attributes) <= {"start"}
    return html


def test_what_markdown_is_for():
    text = "# Title\n\nA *word*, **two**, `code`, [link](https://a.example/x?y=1&z#w), <mailto:a@b.example>, ~~not~~\n\n"
    text += "3. three\n4. four\n\n> said\n\n```js\nlet x\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n---\n"
    html = read(text)
    names = [tag for tag, _ in html.tags]
    for tag in ("h1", "em", "strong", "code", "a", "s", "ol", "li", "blockquote", "pre", "table", "td", "hr"):
        assert tag in names, tag
    assert ("ol", {"start": "3"}) in html.tags and "https://a.example/x?y=1&z#w" in [
        a.get("href") for _, a in html.tags
    ]


AS_TEXT = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<!-- comment -->",
    "<!doctype html>",
    "<?php ?>",
    "<b onclick=alert(1)>unclosed",
    "<style>*{display:none}</style>",
    "<iframe src=//evil.example>",
    "</div></body>",
    "<a href=javascript:alert(1)>x</a>",
    "<![CDATA[x]]>",
    "<textarea>",
    "<math><mtext><table><mglyph><style><img src=x onerror=y>",
]


@pytest.mark.parametrize("text", AS_TEXT)
def test_html_is_shown_as_text(text):
    for around in ("{}", "a {} b", "- {}", "> {}", "**{}**", "# {}", "|a|\n|-|\n|{}|"):
        html = read(around.format(text))
        assert text in html.text, around
    assert text in read(f"`{text}`").text and text in read(f"```\n{text}\n```").text


LINKS = [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "&#106;avascript:alert(1)",
    "#settings",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "file:///etc/passwd",
    "/api/v1/history?confirm=all",
    "?x",
    "javascript&colon;alert(1)",
    "//evil.example",
    "api/v1/jobs",
    "",
    "\x01javascript:alert(1)",
    "%6aavascript:alert(1)",
    "blob:http://a/b",
    "ftp://a.example",
    "httpx://a",
    "http",
    "about:blank",
    "chrome://settings",
    "tel:1",
    " javascript:alert(1)",
]


@pytest.mark.parametrize("target", LINKS, ids=repr)
def test_links_lead_out_or_nowhere(target):
    for text in (
        f"[x]({target})",
        f"[x](<{target}>)",
        f"<{target}>",
        f"[x]\n\n[x]: {target}",
        f'[x]({target} "t")',
        f"[x][{target}]",
    ):
        assert not [tag for tag, attributes in read(text).tags if tag == "a" and "href" in attributes], text


@pytest.mark.parametrize(
    "target", ["http://evil.example/a.png", "data:image/png;base64,AAAA", "x.png", "//evil.example/x"]
)
def test_images_are_not_loaded(target):
    for text in (f"![alt]({target})", f"![alt][r]\n\n[r]: {target}", f"[![alt]({target})](http://a.example)"):
        html = read(text)
        assert "img" not in [tag for tag, _ in html.tags] and "alt" in html.text


ODD = ["\u202eevil\u202c", "\u2066a", "a\x00b", "\ufeff", "👩‍👩‍👧 猫", "&lt;b&gt; &amp; &#x202e;", "\\<b\\>"]


@pytest.mark.parametrize("text", ODD, ids=ascii)
def test_odd_characters_pass(text):
    read(text)
    read(f"[{text}](http://a.example/{text})")


HUGE = {
    "brackets": "[" * 100_000,
    "links": "[a](" * 25_000,
    "stars": "*a " * 33_000,
    "star": "*" * 100_000,
    "quotes": "> " * 50_000,
    "quotes without space": ">" * 100_000,
    "lists": "- " * 50_000,
    "ticks": "`" * 100_000,
    "table": "|a" * 33_000 + "\n" + "|-" * 16_000,
    "rows": "a|b\n-|-\n" + "x|y\n" * 20_000,
    "angles": "<" * 100_000,
    "comments": "<!--" * 25_000,
    "mixed": "*a **b _c " * 10_000,
    "pairs": "[" * 50_000 + "]" * 50_000,
    "entities": "&#" * 50_000,
    "deep list": "".join("  " * k + "- a\n" for k in range(300)),
    "words": "word " * 20_000,
    "tildes": "~~a" * 33_000,
    "references": "".join(f"[{k}]: u\n" for k in range(8_000)),
}


@pytest.mark.parametrize("text", HUGE.values(), ids=HUGE)
@pytest.mark.timeout(60)
def test_a_hundred_kilobytes_of_anything_end(text):
    read(text)
