"""Constraints on the page: what matches a rule is shown while it is typed, and its parts are coloured in texts."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.e2e


def test_a_rule_is_checked_as_it_is_typed_and_colours_what_it_made(visit):
    user = visit()
    page = user.page
    page.locator("#extension-constraints > button").click()
    said = page.locator("#field-constraints-regex .rule-check")
    user.type("constraints-regex", "(a")
    said.filter(has_text="The pattern (a cannot be used").wait_for()
    given_up = []
    page.on("requestfailed", lambda request: given_up.append(request.url.rpartition("/extensions/")[2]))
    user.type("constraints-regex", "(a{1,1000}){1,1000}")  # takes long to compile
    said.filter(has_text="Compiling").wait_for()
    user.type("constraints-regex", "(?P<word>[a-z]+)")
    said.filter(has_text="Such as a").wait_for()
    assert given_up == ["constraints/check"]
    user.type("prompt", "a fox")
    user.generate()
    user.done()
    user.wait("CSS.highlights.get('constraint-group-1')?.size === 1")
    colour = "[...CSS.highlights.get('constraint-group-1')][0].toString()"
    assert page.evaluate(colour) == page.locator(".row .final").first.inner_text().strip()
    user.type("constraints-regex", "")
    page.wait_for_function("!document.querySelector('#field-constraints-regex .rule-check')?.textContent")


def test_what_stands_in_gaps_is_coloured_by_its_rule(visit):
    user = visit()
    page = user.page
    page.locator("#extension-constraints > button").click()
    user.type("constraints-gaps", "year = (?P<century>[0-9]{2})(?P<rest>[0-9]{2})\nname = [a-m]{3,5}")
    page.locator("#field-constraints-gaps .rule-check").filter(has_text="year = 0000; name = aaa").wait_for()
    user.type("prompt", "Born in [[year:...5]], the fox [[name:...4]].")
    user.generate()
    user.done()
    user.wait("CSS.highlights.get('constraint-group-1')?.size === 1")
    coloured = "(kind) => [...CSS.highlights.get(`constraint-group-${kind}`)].map(String)"
    text = page.locator(".row .final").first.inner_text()
    (century,), (rest, name) = page.evaluate(coloured, 1), page.evaluate(coloured, 2)
    assert text.strip() == f"Born in {century}{rest}, the fox {name}."
    assert century.isdigit() and rest.isdigit() and name.isalpha()
    colours = """(kind) => getComputedStyle(document.querySelector('.row .final'),
        `::highlight(constraint-group-${kind})`).color"""
    assert page.evaluate(colours, 1) != page.evaluate(colours, 2)
