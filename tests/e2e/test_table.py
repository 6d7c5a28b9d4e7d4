"""The table of a job's texts: a grid arrives in it, it is sorted, filtered, opened, saved, and opened again."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import User

pytestmark = pytest.mark.e2e
GRID = {
    "prompt": "a dragon",
    "length": 8,
    "steps": 8,
    "seed": 1,
    "end_of_text": "ban",
    "xyz_grid": {
        "x_field": "temperature",
        "x_values": "0.2, 0.9, 1.5",
        "y_field": "prompt",
        "y_values": "dragon, <b>cake</b>, king",
    },
}


JOB = "document.querySelector('tdw-canvas').job?.id"  # the one that is shown

# How many texts were finished, after each change of the page.
ARRIVALS = """() => {
  window.arrivals = [];
  const look = () => window.arrivals.push(document.querySelectorAll(".job .final:not([hidden])").length);
  new MutationObserver(look).observe(document.querySelector("tdw-canvas"), { childList: true, subtree: true });
}"""


def submitted(site, **changes) -> str:
    reply = httpx.post(f"{site.url}/api/v1/jobs", json={**GRID, **changes}, timeout=60)
    reply.raise_for_status()
    return reply.json()["id"]


def column(user, number: int):
    return user.page.locator(f".results tbody tr > :nth-child({number})")


def ordered(user, number: int, reverse: bool = False) -> None:
    """Waits until a column's numbers are sorted."""

    def sorted_by_it() -> bool:
        texts = column(user, number).all_text_contents()
        values = [int(text) for text in texts if text]  # a text's metrics come a moment after it
        return len(values) == len(texts) and values == sorted(values, reverse=reverse)

    user.until(sorted_by_it)


def heads(user) -> list[str]:
    return user.page.locator(".results thead th").all_text_contents()


def as_table(user) -> None:
    user.page.locator(".job-views").get_by_role("button", name="Table").click()
    user.page.wait_for_selector(".results tbody tr")


def axis(user, letter: str, field: str, values: str) -> None:
    """Types an axis of the grid, whose fold is open: its field, Tab, its values."""
    user.page.locator(f"#field-xyz_grid-{letter}_field input").click()
    user.page.keyboard.type(field)  # takes the place of what stands there
    user.page.keyboard.press("Tab")
    expect(user.page.locator("[role=option]")).to_have_count(0)  # its list is closed
    user.page.keyboard.type(values)


def test_a_grid_is_made_arrives_is_sorted_opened_saved_and_opened_again(visit, tmp_path):
    """Three by three, by mouse and keyboard only."""
    user = visit()
    user.type("prompt", "a dragon")
    user.type("seed", "1")
    user.slowly(0.1)
    user.unfold("X/Y/Z grid")
    axis(user, "x", "denoising steps", "2, 9, 16")  # texts end one after the other
    user.shows("xyz_grid-x_field", "Denoising steps · steps")
    axis(user, "y", "prompt", "dragon, <b>cake</b>, king")
    user.wait("document.querySelector('.hints .cost')?.textContent.includes('9 texts')")
    user.page.evaluate(ARRIVALS)
    user.generate()
    user.done()
    assert user.page.evaluate("window.arrivals.some((number) => number > 0 && number < 9)")
    as_table(user)
    user.wait("document.querySelectorAll('.results td.words button.opener').length === 9")
    user.until(lambda: "words" in heads(user))
    names = heads(user)
    assert names[:2] == ["Prompt", "Denoising steps"]
    expect(column(user, 1)).to_have_text(["dragon"] * 3 + ["<b>cake</b>"] * 3 + ["king"] * 3)
    expect(column(user, 2)).to_have_text(["2", "9", "16"] * 3)
    user.page.locator(".results thead").get_by_role("button", name="words").click()
    ordered(user, names.index("words") + 1)
    user.page.locator(".results thead").get_by_role("button", name="words").click()
    ordered(user, names.index("words") + 1, reverse=True)
    user.enter(user.page.locator(".table-bar input"), "cake")
    user.wait("document.querySelectorAll('.results tbody tr').length === 3")
    expect(user.page.locator(".table-count")).to_have_text("3 of 9")
    text = user.page.locator(".results td.words button.opener").first.text_content()
    user.page.locator(".results td.words button.opener").first.click()
    user.page.wait_for_selector(".row:not(.compact) .row-tools")
    expect(user.page.locator(".row[data-opened] .final")).to_have_text(text)
    as_table(user)
    for name, ending in (("CSV", "csv"), ("Markdown", "md"), ("HTML, sortable", "html")):
        user.page.get_by_role("button", name="Save table").click()
        with user.page.expect_download() as download:
            user.page.get_by_role("menuitem", name=name).click()
        path = tmp_path / f"table.{ending}"
        download.value.save_as(path)
        assert "king" in path.read_text("utf-8")
        assert download.value.suggested_filename.endswith(f".{ending}")
    offline(user, path)
    user.type("xyz_grid-x_values", "7")
    user.drop(path)
    user.shows("xyz_grid-x_values", "2, 9, 16")
    user.shows("prompt", "a dragon")
    user.done(jobs=2)  # its texts too, as an experiment that can go on
    user.page.locator(".job-views").first.get_by_role("button", name="Table").click()
    user.wait("document.querySelectorAll('.job:first-of-type td.words button.opener').length === 9")
    again, first = (
        sorted(user.page.locator(".job").nth(i).locator("td.words .opener").all_text_contents())
        for i in (0, 1)
    )
    assert set(first) <= set(again) and text in again  # the first table is still filtered
    expect(user.page.get_by_role("button", name="Continue").first).to_be_visible()


def offline(user, path) -> None:
    """The saved file by itself, sorted and filtered."""
    page = user.page.context.new_page()
    page.route("**/*", lambda route: route.continue_() if "file:" in route.request.url else route.abort())
    page.goto(path.as_uri())
    expect(page.locator("tbody tr")).to_have_count(9)
    expect(page.locator("tbody b")).to_have_count(0)
    page.get_by_role("button", name="prompt").click()
    expect(page.locator("tbody tr th").first).to_have_text("<b>cake</b>")
    page.get_by_role("searchbox").fill("king")
    expect(page.locator("tbody tr:visible")).to_have_count(3)
    page.close()


def test_axes_have_the_names_of_the_page_s_language(visit, site):
    user = visit(locale="de-DE")
    grid = {"x_field": "guidance.scale", "x_values": "preset, 2", "y_field": "sampler", "y_values": "random"}
    job = submitted(site, length=4, steps=1, xyz_grid={**grid, "z_field": "prompt.text", "z_values": "a, b"})
    user.page.evaluate(f"document.dispatchEvent(new CustomEvent('tdw:watch', {{detail: {{job: '{job}'}}}}))")
    user.done()
    user.wait("document.querySelector('.facet h4')?.textContent === 'Prompt, der ganze Text a'")
    user.wait("document.querySelector('.facet thead').textContent.includes('Führung Voreinstellung')")
    user.page.locator(".job-views").get_by_role("button", name="Tabelle").click()
    user.wait("document.querySelectorAll('.results tbody tr').length === 4")
    user.until(lambda: heads(user)[:3] == ["Prompt, der ganze Text", "Sampler", "Führung"])
    expect(column(user, 2).first).to_have_text(re.compile(r"\(random\)$"))
    expect(column(user, 3).nth(0)).to_have_text("Voreinstellung")
    expect(column(user, 3).nth(1)).to_have_text("2")


def test_lines_that_are_no_grid_are_listed_and_a_scrolled_axis_keeps_its_head(visit, site):
    user = visit(width=700)
    lines = {"format": "csv", "text": "prompt,temperature\na,0.1\nb,0.2\nc,0.3"}
    user.open(submitted(site, length=4, steps=1, prompts_from_file=lines, xyz_grid={}))
    user.done()
    expect(user.page.locator("table.cells td")).to_have_count(3)
    expect(user.page.locator("table.crossed")).to_have_count(0)
    as_table(user)
    user.until(lambda: "words" in heads(user))
    box = user.page.locator(".table-box")
    box.hover()
    user.page.mouse.wheel(150, 0)
    user.until(lambda: box.evaluate("box => box.scrollLeft") > 100)
    head, cell = user.page.locator(".results thead th").first, user.page.locator(".results tbody th").first
    assert head.bounding_box()["x"] == cell.bounding_box()["x"] >= box.bounding_box()["x"]


def test_a_cell_that_fails_has_its_sentence_in_the_table(visit, site):
    user = visit()
    grid = {"x_field": "length", "x_values": "4, 32768"}
    user.open(submitted(site, xyz_grid=grid, steps=1))
    user.done()
    as_table(user)
    user.wait("document.querySelector('.results tr[data-state=failed]')")
    expect(user.page.locator(".results tr[data-state=failed] td.words")).to_contain_text("at most")
    expect(user.page.locator(".results td.words button.opener")).to_have_count(1)


def test_very_many_texts_are_in_the_table_only(visit, site):
    user = visit()
    grid = {"x_field": "seed", "x_values": "1-520"}
    user.open(submitted(site, xyz_grid=grid, length=1, steps=1))
    user.done()
    user.wait("document.querySelectorAll('.results tbody tr').length === 200")
    expect(user.page.locator("article.row")).to_have_count(0)
    user.page.get_by_role("button", name="Show more").click()
    user.wait("document.querySelectorAll('.results tbody tr').length === 400")
    user.enter(user.page.locator(".table-bar input"), "519")
    user.wait("document.querySelectorAll('.results tbody tr').length < 5")
    user.page.locator(".results td.words button.opener").first.click()
    user.page.wait_for_selector("article.row .row-tools")
    expect(user.page.locator("article.row")).to_have_count(1)


def test_a_grid_is_typed_estimated_compared_and_goes_on(visit, site):
    """By mouse and keyboard: fields typed, cost read, texts pinned, turned, voted on, drawn, continued."""
    user = visit()
    user.type("prompt", "a dragon")
    user.unfold("Loopback")
    expect(user.page.locator("#field-loopback-final_strength").get_by_placeholder("the same")).to_be_visible()
    user.unfold("X/Y/Z grid")
    user.type("xyz_grid-x_values", "1, 2")
    expect(user.page.locator(".hints .reason")).to_have_text(
        re.compile("^X/Y/Z grid: X has values but no field")
    )
    user.type("xyz_grid-x_values", "")
    for letter, field, values in (("x", "temperature", "0, 2"), ("y", "seed", "1-3"), ("z", "top_k", "1, 9")):
        user.shows(f"xyz_grid-{letter}_field", "nothing")  # no field, not a preset
        axis(user, letter, field, values)
    user.wait("document.querySelector('.hints .cost')?.textContent.includes('12 texts')")
    expect(user.page.locator(".hints .cost")).to_contain_text("at most 16 model calls")
    user.generate()
    user.done()
    expect(user.page.locator(".hints .cost")).to_contain_text("about")  # seconds, now that some were measured
    expect(user.page.locator(".facet")).to_have_count(2)
    as_table(user)
    user.wait("document.querySelectorAll('.results td.metric').length > 12")
    user.page.locator(".results .pin").nth(1).click()
    expect(user.page.locator(".results thead th").nth(4)).to_have_text("Like pinned")
    expect(column(user, 5).nth(1)).to_have_text("1")
    expect(user.page.locator(".results tr[data-pinned] ins")).to_have_count(0)
    expect(user.page.locator(".results tr:not([data-pinned]) ins")).not_to_have_count(0)
    user.page.get_by_role("button", name="Transpose").click()
    expect(user.page.locator(".results tbody tr").first.locator("th")).to_have_count(13)
    user.page.get_by_role("button", name="Transpose").click()
    user.page.get_by_role("button", name="Compute bound").click()
    user.wait("document.querySelector('.results thead').textContent.includes('Bound (bits/byte)')")
    user.wait(
        "[...document.querySelectorAll('.table-bar > button')].every((one) => one.hidden || !/bound/i.test(one.textContent))"
    )
    bounds = column(user, heads(user).index("Bound (bits/byte)") + 1)
    user.until(lambda: all(re.fullmatch(r"[\d.]+", text.strip()) for text in bounds.all_text_contents()))
    user.page.get_by_role("button", name="Columns").click()
    for name in ("Tokens", "Model calls"):
        user.page.get_by_role("menuitemcheckbox", name=name).click()
    user.page.keyboard.press("Escape")
    user.until(lambda: "Tokens" not in heads(user) and "Seconds" in heads(user))
    user.page.get_by_role("button", name="Compare blind").click()
    expect(user.page.locator("dialog.votes h3")).to_have_text(["A", "B"])
    user.page.keyboard.press("2")
    user.wait("document.querySelector('dialog.votes .compare-sum').textContent === '1 votes'")
    user.page.keyboard.press("Escape")
    user.wait(
        "[...document.querySelectorAll('.results thead th')].some((one) => one.textContent === 'Votes won')"
    )
    user.page.locator(".job-views").get_by_role("button", name="Chart").click()
    user.page.locator(".results-chart select").first.select_option("text_metrics.words")
    expect(user.page.locator("svg.chart polyline")).to_have_count(2)
    expect(user.page.locator(".chart-note")).to_contain_text("95 % confidence")
    expect(user.page.locator(".job").first).to_have_attribute("data-state", "done")
    user.type("xyz_grid-y_values", "1-4")
    user.wait("document.querySelector('.hints .cost')?.textContent.includes('16 texts')")
    as_table(user)
    user.page.get_by_role("button", name="Continue").click()
    user.page.get_by_role("menuitem", name="With the values in the controls").click()
    user.done(jobs=2)
    user.view("queue")
    user.wait(
        "document.querySelector('[data-experiment] .queue-facts')?.textContent.includes('16 of 16 texts')"
    )


def test_a_grid_in_two_tabs_is_interrupted_in_one_and_goes_on_in_the_other(visit, site):
    """What was finished stays, in both tabs, and is not written again; twice half-way."""

    def finished(job: str) -> list:
        parts = httpx.get(f"{site.url}/api/v1/jobs/{job}", timeout=60).json()["result"]["parts"]
        return [part["id"] for part in parts if part["complete"]]

    user = visit()
    user.type("prompt", "a dragon")
    user.type("seed", "1")
    user.endlessly(1)
    user.unfold("X/Y/Z grid")
    axis(user, "x", "steps", "2, 4, 192")  # the last one takes minutes if nobody interrupts it
    user.wait("document.querySelector('.hints .cost')?.textContent.includes('3 texts')")
    user.generate()
    done = "document.querySelectorAll('.job .final:not([hidden])').length === 2"
    user.wait(done)
    job = user.page.evaluate("document.querySelector('tdw-canvas').job.id")
    other = User(user.page.context.new_page(), user.url).come()
    other.wait(f"document.querySelector('tdw-canvas').job?.id === '{job}' && {done}")
    other.view("queue")
    other.page.locator(f".queue-item[data-job='{job}']").get_by_role("button", name="Interrupt").click()
    user.done("cancelled")
    kept = finished(job)
    assert len(kept) == 2
    as_table(user)
    expect(user.page.locator(".results td.words button.opener")).to_have_count(3)
    user.page.get_by_role("button", name="Continue").click()
    user.page.get_by_role("menuitem", name="Write the missing texts").click()
    user.wait(f"document.querySelector('.job')?.dataset.state === 'running' && {JOB} !== '{job}'")
    again = user.page.evaluate(JOB)
    other.open(again)
    newest = "document.querySelector('.job')"
    other.wait(f"{newest}.dataset.state === 'running'")
    other.wait(f"{newest}.querySelectorAll('.final:not([hidden])').length === 2")
    user.page.evaluate("window.tdw.interruptAll()")
    for one in (user, other):
        one.wait("document.querySelector('.job').dataset.state === 'cancelled'")
    assert finished(again) == kept


def test_fields_of_axes_have_names_are_found_by_them_and_offer_their_choices(visit):
    user = visit()
    user.type("prompt", "a dragon")
    user.unfold("X/Y/Z grid")
    field, options = user.page.locator("#field-xyz_grid-x_field input"), user.page.locator("[role=option]")
    user.enter(field, "guidance s")
    expect(options).to_have_text([re.compile("Guidance scale · guidance.scale")])
    user.page.keyboard.press("Enter")
    user.shows("xyz_grid-x_field", "Guidance scale · guidance.scale")
    axis(user, "x", "seed", "1, 2")  # by its path
    user.shows("xyz_grid-x_field", "Seed · seed")
    expect(user.page.locator("#field-xyz_grid-x_values .axis-choices")).to_be_hidden()
    user.enter(user.page.locator("#field-xyz_grid-y_field input"), "sampler")
    user.page.keyboard.press("Tab")
    values = user.page.locator("#field-xyz_grid-y_values")
    random = values.get_by_role("button", name="Random order (random)")
    random.click()
    values.get_by_role("button", name="All that are confident enough (threshold)").click()
    user.shows("xyz_grid-y_values", "random, threshold")
    expect(random).to_have_attribute("aria-pressed", "true")
    values.get_by_role("button", name="Preset").click()
    random.click()
    user.shows("xyz_grid-y_values", "threshold, preset")
    user.wait("document.querySelector('.hints .cost')?.textContent.includes('4 texts')")
    expect(user.page.locator(".chip[data-path='xyz_grid.y_field']")).to_contain_text("Y field: Sampler")
    chip = user.page.locator(".chip[data-path='xyz_grid.y_values']")
    expect(chip).to_contain_text("Y values: All that are confident enough")
    expect(chip).to_have_attribute("title", "All that are confident enough (threshold), Preset")
    user.generate()
    user.done()
    heads = user.page.locator(".job table.cells th")
    expect(heads.filter(has_text="All that are confident enough (threshold)")).to_have_count(1)
    user.type("xyz_grid-y_values", "all")
    expect(user.page.locator(".hints .reason")).to_contain_text("X/Y/Z grid: Y, Sampler (sampler): ")
    user.type("xyz_grid-y_field", "temprature")
    user.page.keyboard.press("Tab")
    expect(user.page.locator(".hints .reason")).to_contain_text("The nearest: Temperature (temperature)")


def test_very_many_texts_are_confirmed_with_their_cost(visit, site):
    user = visit()
    user.type("prompt", "a dragon")
    user.unfold("X/Y/Z grid")
    user.type("xyz_grid-x_field", "seed")
    user.page.keyboard.press("Tab")
    user.type("xyz_grid-x_values", "1-1100")
    user.wait("document.querySelector('.hints .cost')?.textContent.includes('1,100 texts')")
    user.generate()
    expect(user.page.locator("dialog.ask p")).to_contain_text("1,100 texts")
    user.page.locator("dialog.ask").get_by_role("button", name="Cancel").click()
    expect(user.page.locator(".job")).to_have_count(0)
    user.generate()
    user.page.locator("dialog.ask").get_by_role("button", name="Write them").click()
    user.wait("document.querySelector('.job')?.dataset.state === 'running'")
    user.page.keyboard.press("Escape")
    user.page.evaluate("window.tdw.interruptAll()")
    user.done(state="cancelled")
