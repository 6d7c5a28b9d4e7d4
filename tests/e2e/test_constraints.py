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
