"""Three people at one preview in three browsers, and the account of one of them."""

from __future__ import annotations

import re
from typing import Any

import psutil
import pytest
from page_kit import FILES, PATIENCE_MS, Running, Visit, visit, wait_until
from playwright.sync_api import Browser, Page, expect
from test_page_quality import serious

# Somebody who is removed sees so within this time.
AT_ONCE_MS = 1_000
BROKEN_ENDPOINT = """

@app.get("/broken")
def broken():
    return {}["tea"]
"""


def _templates(running: Running) -> list[dict[str, Any]]:
    with running.api("local") as api:
        items: list[dict[str, Any]] = api.get("/api/v1/operator/templates").json()["items"]
        return items


def _template_processes(running: Running) -> set[int]:
    """The service's templates, each by the first process of its sandbox."""
    return {
        one.pid
        for one in psutil.Process(running.process.pid).children()
        if any("preview_template.py" in part for part in _command(one))
    }


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def new_link(page: Page, role: str) -> str:
    """Make a share link on the page, and return its address."""
    page.get_by_role("button", name="Share").click()
    dialog = page.get_by_role("dialog", name="Share the preview")
    dialog.get_by_role("radio").and_(dialog.locator(f"[value={role}]")).check()
    with page.expect_response(lambda answer: answer.url.endswith("/preview/share")) as made:
        dialog.get_by_role("button", name="New link").click()
    address: str = made.value.json()["url"]
    assert "/#/join/" in address
    dialog.get_by_role("button", name="Close").click()
    return address


def join(page: Page, address: str, name: str) -> None:
    page.goto(address)
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Join").click()
    page.get_by_role("tab", name="People").click()


def line_of(seen: Visit, text: str) -> int:
    """The number of the first line with this text."""
    return next(int(one["seq"]) for one in seen.saved_lines() if text in one["message"])


@pytest.mark.long
def test_three_people_see_each_other_and_one_is_removed(running: Running, browser: Browser) -> None:
    with visit(browser) as owner, visit(browser, width=390) as watching, visit(browser, scheme="dark") as using:
        mine = owner.page
        owner.sign_in(running, "people-owner")
        owner.drop_zip("shop", {**FILES, "main.py": FILES["main.py"] + BROKEN_ENDPOINT})
        owner.launch()
        watch, use = new_link(mine, "watch"), new_link(mine, "use")
        join(watching.page, watch, "Wanda Watch")
        join(using.page, use, "Uwe Use")

        # Presence, in all three.
        mine.get_by_role("button", name="3 people are here. Show them").click()
        for page in (mine, watching.page, using.page):
            here = page.get_by_role("region", name="Here now")
            expect(here.get_by_role("listitem")).to_have_count(3)
        assert serious(owner) == []
        assert serious(watching) == []
        assert watching.page.evaluate("() => document.documentElement.scrollWidth") <= 390

        # A guest sends a request and comments on it, and the others see it.
        theirs = using.page
        theirs.get_by_role("tab", name="Requests").click()
        using.pick("GET", "/health")
        using.send()
        using.wait_for_answer()
        theirs.get_by_role("tab", name="Recorded").click()
        theirs.get_by_role("button", name="/health").first.click()
        theirs.get_by_label(re.compile("^Comment on request")).fill("<b>Is this</b> fast enough?")
        theirs.get_by_role("button", name="Comment", exact=True).click()
        assert serious(using) == []
        for page in (mine, watching.page):
            expect(page.get_by_text("<b>Is this</b> fast enough?")).to_be_visible(timeout=AT_ONCE_MS)
            expect(page.get_by_role("button", name=re.compile(r"^Request \d+$")).first).to_be_visible()
        expect(watching.page.get_by_role("button", name="Mark as resolved")).to_have_count(0)
        expect(watching.page.get_by_role("button", name=re.compile("^Remove "))).to_have_count(0)

        # On a line: all see the comment, and the line's mark.
        theirs.get_by_role("tab", name="People").click()
        theirs.get_by_label("Comment on log line").fill(str(line_of(owner, "the till is nearly empty")))
        theirs.get_by_label(re.compile("^Comment on line")).fill("Who <i>refills</i> it?")
        theirs.get_by_role("button", name="Comment", exact=True).click()
        for page in (mine, watching.page):
            expect(page.get_by_text("Who <i>refills</i> it?")).to_be_visible(timeout=PATIENCE_MS)
        marked = mine.locator("[data-position]").filter(has_text="the till is nearly empty")
        expect(marked.get_by_role("img", name="1 comment")).to_be_visible()

        # On a failure: the owner answers in the same place.
        theirs.get_by_role("tab", name="Requests").click()
        using.pick("GET", "/broken")
        using.send()
        using.wait_for_answer("500 Internal Server Error")
        theirs.get_by_role("tab", name="Failures").click()
        theirs.get_by_role("button", name=re.compile("KeyError")).first.click()
        theirs.get_by_label("Comment on failure").fill("Tea is <u>gone</u>.")
        theirs.get_by_role("button", name="Comment", exact=True).click()
        for page in (mine, watching.page):
            expect(page.get_by_text("Tea is <u>gone</u>.")).to_be_visible(timeout=PATIENCE_MS)
        mine.get_by_role("button", name="Failure", exact=True).first.click()
        mine.get_by_label("Comment on failure").fill("Bought.")
        mine.get_by_role("button", name="Comment", exact=True).click()
        for page in (theirs, watching.page):
            expect(page.get_by_text("Bought.")).to_be_visible(timeout=PATIENCE_MS)
        # A guest deletes only own comments.
        expect(theirs.get_by_role("button", name="Delete the comment")).to_have_count(1)
        mine.get_by_role("button", name="3 people are here. Show them").click()

        # The owner removes one, whose page says so at once and has nothing of the log left.
        mine.get_by_role("button", name="Remove Wanda Watch").click()
        mine.get_by_role("alertdialog").get_by_role("button", name="Remove").click()
        expect(watching.page.get_by_text("You were removed")).to_be_visible(timeout=AT_ONCE_MS)
        expect(watching.page.get_by_text("the shop is open")).to_have_count(0)
        watching.page.goto(watch)
        watching.page.reload()
        watching.page.get_by_role("button", name="Join").click()
        expect(watching.page.get_by_role("alert")).to_contain_text("ask its sender")
        expect(mine.get_by_role("region", name="Here now").get_by_role("listitem")).to_have_count(2)
        mine.get_by_role("button", name="Stop", exact=True).click()
        # Others watch, so the page asks first.
        mine.get_by_role("alertdialog").get_by_role("button", name="Stop", exact=True).click()
        expect(theirs.get_by_text("This preview has ended")).to_be_visible()


@pytest.mark.long
def test_an_account_makes_and_revokes_a_token(running: Running, browser: Browser) -> None:
    with visit(browser, width=390) as seen:
        page = seen.page
        seen.sign_in(running, "people-account")
        page.get_by_role("button", name="Account of").click()
        dialog = page.get_by_role("dialog", name="Account")
        expect(dialog.get_by_text("PREVIEW_MAX_INSTANCES_PER_USER")).to_be_visible()
        assert serious(seen) == []
        expect(dialog.get_by_role("tab", name="Operator")).to_have_count(0)
        dialog.get_by_role("tab", name="API tokens").click()
        dialog.get_by_label("Name").fill("build server")
        dialog.get_by_role("button", name="Create token").click()
        expect(dialog.get_by_text(re.compile("^pvt_"))).to_be_visible()
        assert serious(seen) == []
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 800})
            assert dialog.evaluate("it => it.scrollWidth <= it.clientWidth"), width
            cell = dialog.get_by_role("cell", name="read", exact=True).bounding_box()
            assert cell is not None
            assert cell["height"] < 60
        dialog.get_by_role("button", name="Revoke build server").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Revoke").click()
        expect(dialog.get_by_text("No tokens yet.")).to_be_visible()


@pytest.mark.long
def test_an_operator_reads_the_audit_trail_on_a_telephone(running: Running, browser: Browser) -> None:
    with visit(browser, width=390) as seen:
        page = seen.page
        seen.sign_in(running, "local")
        page.get_by_role("button", name="Account of").click()
        dialog = page.get_by_role("dialog", name="Account")
        dialog.get_by_role("tab", name="Operator").click()
        trail = dialog.get_by_role("region", name="Audit trail")
        entry = trail.get_by_role("row").filter(has_text="signed in").first
        for shown in ("local", "ok", "session token", "127.0.0.1"):
            expect(entry.get_by_role("cell").get_by_text(shown, exact=True)).to_be_visible()
        dialog.get_by_role("button", name="Verify the trail").click()
        expect(dialog.get_by_text("The audit trail is intact")).to_be_visible()
        assert serious(seen) == []
        for width in (390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            for region in dialog.get_by_role("region").all():
                assert region.evaluate("it => it.scrollWidth <= it.clientWidth"), width
        assert seen.violations == []


@pytest.mark.long
def test_an_operator_rolls_a_flag_out_and_stops_launches(running: Running, browser: Browser) -> None:
    with visit(browser, width=390) as seen, running.api("local") as api:
        page = seen.page
        seen.sign_in(running, "local")
        page.get_by_role("button", name="Account of").click()
        dialog = page.get_by_role("dialog", name="Account")
        dialog.get_by_role("tab", name="Operator").click()
        page.keyboard.press("ArrowRight")
        tracing = dialog.get_by_role("region", name="Tracing")
        try:
            # By the keyboard alone: a value for 5 % of the users, with a question before.
            tracing.get_by_text("Gradual rollout and comparison").focus()
            page.keyboard.press("Enter")
            tracing.get_by_role("button", name="5 %", exact=True).focus()
            page.keyboard.press("Enter")
            question = page.get_by_role("dialog", name="Roll out on to 5 % of users?")
            expect(question.get_by_role("region", name="After")).to_contain_text("on for 5 % of users")
            assert serious(seen) == []
            question.get_by_role("button", name="Roll out to 5 %").focus()
            page.keyboard.press("Enter")
            expect(tracing.get_by_role("list")).to_contain_text("on for 5 % of users")
            dialog.get_by_role("button", name="Stop launches").click()
            refusal = page.get_by_role("alertdialog", name="Stop all new launches?")
            refusal.get_by_label("Reason shown to users").fill("We change a disk.")
            refusal.get_by_role("button", name="Stop launches").click()
            expect(dialog.get_by_text("Launches are stopped.")).to_be_visible()
            changes = dialog.get_by_role("region", name="Flag changes")
            expect(changes.get_by_text("default → on for 5 % of users")).to_be_visible()
            expect(changes.get_by_text("default → off")).to_be_visible()
            assert serious(seen) == []
            for width in (390, 768, 1440):
                page.set_viewport_size({"width": width, "height": 800})
                assert dialog.evaluate("it => it.scrollWidth <= it.clientWidth"), width
            dialog.get_by_role("button", name="Allow launches").click()
            page.get_by_role("dialog", name="Allow launches again?").get_by_role(
                "button", name="Allow launches"
            ).click()
            expect(dialog.get_by_text("Launches are allowed.")).to_be_visible()
        finally:
            for name in ("tracing", "launches"):
                api.delete(f"/api/v1/operator/flags/{name}").raise_for_status()
        assert seen.violations == []


@pytest.mark.long
def test_an_operator_drops_and_rebuilds_a_template(running: Running, browser: Browser) -> None:
    with visit(browser, width=390) as seen, running.api("template-user") as api:
        page = seen.page
        made = api.post("/api/v1/generations", json={"name": "shop", "files": FILES}).json()
        launch = f"/api/v1/generations/{made['id']}/preview/launch"
        api.post(launch, json={}, headers={"Prefer": "wait=80"}).raise_for_status()
        # By an operator, as the page lists it; its first template is ready soon after the first launch.
        wait_until(lambda: any(one["is_ready"] for one in _templates(running)), PATIENCE_MS / 1000)
        key = next(one["key"] for one in _templates(running) if one["is_ready"])
        seen.sign_in(running, "local")
        page.get_by_role("button", name="Account of").click()
        dialog = page.get_by_role("dialog", name="Account")
        dialog.get_by_role("tab", name="Operator").click()
        row = dialog.get_by_role("region", name=re.compile("^Templates: ")).get_by_role("row").filter(has_text=key)
        expect(row.get_by_role("cell").get_by_text("ready", exact=True)).to_be_visible()
        before = _template_processes(running)
        assert before

        def confirm(action: str) -> None:
            dialog.get_by_role("button", name=f"{action} the template of {key}").click()
            question = page.get_by_role("alertdialog", name=f"{action} this template?")
            assert serious(seen) == []
            question.get_by_role("button", name=action, exact=True).click()

        confirm("Drop")
        expect(row).to_contain_text("an operator dropped its template")
        expect(dialog.get_by_role("button", name=f"Drop the template of {key}")).to_have_count(0)
        confirm("Rebuild")
        wait_until(lambda: any(one["key"] == key and one["is_ready"] for one in _templates(running)), 90)
        assert _template_processes(running) - before
        dialog.get_by_role("button", name="Refresh").first.click()
        expect(row.get_by_role("cell").get_by_text("ready", exact=True)).to_be_visible()
        assert serious(seen) == []
        assert dialog.evaluate("it => it.scrollWidth <= it.clientWidth")
        assert seen.violations == []
        # The preview that was forked from it, or started beside it, goes on; the dropped template ends with it.
        assert len(api.get("/api/v1/previews?status=running").json()["previews"]) == 1
        # Those of earlier tests may be forks of it, too; other templates stay.
        with running.api("local") as operator:
            for one in operator.get("/api/v1/operator/previews").raise_for_status().json()["items"]:
                operator.delete(f"/api/v1/operator/previews/{one['id']}")
        wait_until(lambda: bool(before - _template_processes(running)), PATIENCE_MS / 1000)
