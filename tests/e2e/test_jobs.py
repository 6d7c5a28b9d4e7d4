"""The queue with several browsers: place, progress, interrupt, retry, pages that close and come back,
notifications."""

from __future__ import annotations

import os
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.conftest import wait_until
from tests.e2e.conftest import HOSTILE, User
from tests.http.test_queue import ME

ENDED = ("done", "failed", "cancelled")
SLOW = {"length": 64, "steps": 64, "template": "raw", "end_of_text": "ban", "rehearsal": {"seconds": 0.25}}


@pytest.fixture
def api(site):
    """The server's API beside the browsers; in the end no job is left."""
    with httpx.Client(base_url=f"{site.url}/api/v1/", timeout=60) as api:
        yield api
        for job in api.get("jobs").json():
            if job["state"] not in ENDED:
                api.delete(f"jobs/{job['id']}")
        wait_until(lambda: all(job["state"] in ENDED for job in api.get("jobs").json()))


def queue(user: User) -> None:
    user.page.locator("#views a[data-view=queue]").click()
    user.page.wait_for_selector(".queue-page", state="visible")


def row(user: User, prompt: str):
    return user.page.locator(f".queue-item:has(.queue-prompt:text-is({prompt!r}))").first


def state(user: User, prompt: str, wanted: str) -> None:
    row(user, prompt).and_(user.page.locator(f"[data-state={wanted}]")).wait_for(state="visible")


def write(user: User, prompt: str, steps: int = 16) -> None:
    user.type("prompt", prompt)
    user.type("length", str(steps))
    user.type("steps", str(steps))
    user.generate()


def test_two_browsers_share_one_queue(visit, api):
    """Each has its own job; both see both; the second opens the first's job, stops its own, and asks for it
    again."""
    first, second = visit(), visit()
    first.slowly(0.5)
    write(first, "the first fox", 192)  # longer than anything here takes: it is interrupted
    first.wait("document.querySelector('.job')?.dataset.state === 'running'")
    write(second, "the second hen")
    second.wait("document.querySelector('.job')?.dataset.state === 'queued'")
    second.wait("document.querySelector('#views a[data-view=queue] .count')?.textContent === '2'")

    queue(second)
    state(second, "the first fox", "running")
    expect(row(second, "the second hen").locator(".queue-state")).to_have_text("Waiting, 1 ahead")
    expect(second.page.locator(".queue-now .queue-prompt")).to_have_text(
        [
            "the first fox",
            "the second hen",
        ]
    )
    expect(row(second, "the second hen").locator(".queue-whose")).to_have_text("yours")
    expect(row(second, "the first fox").locator(".queue-whose")).to_have_text("another browser")
    bar = "document.querySelector('.queue-item[data-state=running] [role=progressbar]')"
    second.wait(f"Number({bar}.getAttribute('aria-valuenow')) > 1")

    row(second, "the second hen").get_by_role("button", name="Interrupt").click()
    state(second, "the second hen", "cancelled")
    row(second, "the second hen").get_by_role("button", name="Retry").click()
    second.wait("document.body.dataset.view === 'write'")
    queue(second)
    state(second, "the second hen", "queued")

    row(second, "the first fox").get_by_role("button", name="Open").focus()
    second.page.keyboard.press("Enter")
    second.wait(
        "document.body.dataset.view === 'write' && document.querySelector('.job').dataset.state === 'running'"
    )
    second.wait("document.querySelectorAll('.job')[0].querySelectorAll('.tokens .word').length > 0")
    queue(first)
    row(first, "the first fox").get_by_role("button", name="Interrupt").click()
    state(first, "the first fox", "cancelled")
    second.wait("document.querySelector('.job').dataset.state === 'cancelled'")
    queue(second)
    state(second, "the second hen", "done")
    second.wait("document.querySelector('#views a[data-view=queue] .count').hidden")


def test_a_job_that_hangs_can_be_abandoned_and_the_next_one_goes_on(visit, api, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    user = visit()
    try:
        hanging = {"prompt": "the stuck swan", "steps": 1, "length": 4, "rehearsal": {"block": str(pipe)}}
        job = api.post("jobs", json=hanging, headers=ME).raise_for_status().json()["id"]
        write(user, "the waiting wren", 4)
        queue(user)
        state(user, "the stuck swan", "running")
        stuck = row(user, "the stuck swan")
        expect(stuck.get_by_role("button", name="Abandon"), "only after Interrupt").to_be_hidden()
        stuck.get_by_role("button", name="Interrupt").click()
        user.page.locator(".queue-state", has_text="Interrupting").wait_for()
        user.page.locator(".notice:not([hidden])", has_text="does not react to Interrupt").wait_for()
        stuck.get_by_role("button", name="Abandon").click()
        user.page.locator("dialog.ask").get_by_role("button", name="Keep waiting").click()
        assert api.get(f"jobs/{job}").json()["state"] == "running", "not without a yes"
        stuck.get_by_role("button", name="Abandon").click()
        user.page.locator("dialog.ask").get_by_role("button", name="Abandon").click()
        state(user, "the stuck swan", "failed")
        expect(stuck.locator(".queue-error")).to_contain_text("rehearsal")
        state(user, "the waiting wren", "done")
        user.page.locator(".queue-lost:not([hidden])", has_text="still holds a thread").wait_for()
    finally:
        release(pipe)
    user.page.locator(".queue-lost", has_text="still holds a thread").wait_for(state="hidden")


def release(pipe: Path) -> bool:
    """Ends the wait of whoever reads the pipe; whether there was somebody."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


def test_a_reload_and_a_closed_tab_keep_the_job_and_its_canvas(visit, api):
    user = visit()
    user.slowly(0.5)
    write(user, "the patient whale", 192)
    user.wait("document.querySelector('.job')?.querySelectorAll('.tokens .word').length > 0")
    user.page.reload()
    user.wait(
        "document.querySelector('.job')?.dataset.state === 'running' && document.querySelector('.tokens "
        ".word')"
    )
    context = user.page.context
    user.page.close()
    (job,) = [job for job in api.get("jobs").json() if job["prompt"] == "the patient whale"]
    assert job["state"] == "running"
    again = User(context.new_page(), user.url).come()
    again.wait(
        "document.querySelector('.job')?.dataset.state === 'running' && document.querySelector('.tokens "
        ".word')"
    )
    queue(again)
    state(again, "the patient whale", "running")
    expect(row(again, "the patient whale")).to_have_attribute("data-mine", "true")
    again.open(job["id"])
    written = again.page.locator(".tokens .word").count()
    again.wait(f"document.querySelectorAll('.tokens .word').length > {written + 1}")
    expect(again.page.locator(".job"), "what is watched already is not shown twice").to_have_count(1)


def test_hostile_prompts_are_text_and_an_error_is_told(visit, api):
    api.post(
        "jobs", json={"prompt": HOSTILE, "length": 4, "steps": 1, "rehearsal": {"fail": True}}, headers=ME
    )
    user = visit(width=420)
    queue(user)
    item = user.page.locator(".queue-item[data-state=failed]").first
    item.wait_for()
    expect(item.locator(".queue-prompt")).to_have_text(HOSTILE[:120] + ("…" if len(HOSTILE) > 120 else ""))
    expect(item.locator(".queue-error")).to_contain_text("Rehearsal: ")
    expect(item.locator("img, script")).to_have_count(0)
    assert all(
        box["height"] >= 40 for box in (b.bounding_box() for b in item.locator("button:visible").all())
    )
    assert user.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


NOTIFIED = """
Object.defineProperty(document, "hidden", { get: () => Boolean(window.away) });
window.notified = [];
window.Notification = class extends EventTarget {
  static permission = "default";
  static async requestPermission() { window.asked = true; return (this.permission = "granted"); }
  constructor(title, options) { super(); window.notified.push([title, options.body]); }
  close() {}
};
"""


def test_a_long_job_notifies_only_who_asked_for_it_and_looks_away(visit, api, site, request, tmp_path):
    before = api.get("settings").json()["values"]["notify_after"]
    api.patch("settings", json={"notify_after": 1}).raise_for_status()
    request.addfinalizer(lambda: httpx.patch(f"{site.url}/api/v1/settings", json={"notify_after": before}))
    user = visit()
    user.page.add_init_script(NOTIFIED)
    user.page.reload()
    user.come()
    queue(user)
    assert user.page.evaluate("window.asked") is None, "nobody asks before the switch is pressed"
    user.page.locator(".switch").click()
    user.wait("window.asked && document.querySelector('#queue-notify').checked")
    client = {"X-TDW-Client": user.page.evaluate("localStorage.getItem('tdw.client')")}

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def job(prompt: str, headers: dict, held: bool = False) -> None:
        """A job of more than a second; `held` until the pipe is released."""
        rehearsal = {"seconds": 1.2, "block": str(pipe) if held else ""}
        sent = {"length": 4, "steps": 1, "template": "raw", "end_of_text": "ban", "rehearsal": rehearsal}
        api.post("jobs", json={**sent, "prompt": prompt}, headers=headers).raise_for_status()

    def away(hidden: bool) -> None:
        user.page.evaluate(
            f"window.away = {str(hidden).lower()}; document.dispatchEvent(new Event('visibilitychange'))"
        )

    job("looked at", client)
    state(user, "looked at", "done")
    assert user.page.evaluate("window.notified") == []
    job("of another", ME, held=True)
    job("awaited", client)
    state(user, "awaited", "queued")
    away(True)
    wait_until(lambda: release(pipe))
    state(user, "awaited", "done")
    user.wait("window.notified.length")
    assert user.page.evaluate("window.notified") == [["Your text is ready", "awaited"]]
    away(False)
    user.page.locator(".switch").click()
    job("not announced", client, held=True)
    state(user, "not announced", "running")
    away(True)
    wait_until(lambda: release(pipe))
    state(user, "not announced", "done")
    assert len(user.page.evaluate("window.notified")) == 1


def test_where_jobs_are_not_kept_closing_the_tab_ends_them(visit, api, site, request):
    request.addfinalizer(lambda: httpx.patch(f"{site.url}/api/v1/settings", json={"keep_jobs": True}))
    api.patch("settings", json={"keep_jobs": False}).raise_for_status()
    user = visit()
    user.slowly(0.5)
    write(user, "not to be", 192)
    user.wait("document.querySelector('.job')?.dataset.state === 'running'")
    job = user.page.evaluate("localStorage.getItem('tdw.job')")
    user.page.close()
    wait_until(lambda: api.get(f"jobs/{job}").json()["state"] == "cancelled", 60)
