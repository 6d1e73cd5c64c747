from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from page_kit import BROKEN, FILES, Running, run_service, visit
from playwright.sync_api import Browser, expect


def test_the_whole_story_from_the_one_time_link_to_the_stop(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        # A link is valid for ten minutes, and other tests may have had more of the service.
        running.kill()
        running.start_again()
        page.goto(running.login)
        expect(page).to_have_url(f"{running.url}/")
        (cookie,) = page.context.cookies()
        assert cookie["httpOnly"]
        assert cookie["sameSite"] == "Strict"

        seen.drop_zip("shop", FILES)
        with page.expect_request(lambda request: "/preview/logs/stream" in request.url) as streaming:
            seen.launch()
        assert "ansi=keep" in urlsplit(streaming.value.url).query
        seen.wait_for_line("the shop is open")
        page.get_by_role("button", name="Launched in").click()
        steps = page.get_by_role("list", name="Steps of the launch")
        expect(steps).to_contain_text(re.compile(r"\d m?s \((built|cached|reused), Python 3\."))

        page.get_by_role("button", name="Search (Ctrl+F)").click()
        field = page.get_by_role("textbox", name="Search the log")
        field.fill("SHOP is o.en")
        page.get_by_role("button", name="Regular expression").click()
        expect(page.get_by_text("1 line", exact=True)).to_be_visible()
        field.press("Enter")
        expect(page.get_by_text("1 of 1")).to_be_visible()
        page.wait_for_function(
            "() => [...document.querySelectorAll('[data-log-rows] mark')].some("
            "(one) => getComputedStyle(one).backgroundColor === 'rgb(160, 106, 0)')"
        )
        page.get_by_role("button", name="Match case").click()
        expect(page.get_by_text("No match")).to_be_visible()
        field.press("Escape")

        seen.pick("GET", "/books/{book_id}")
        page.get_by_label("Path: book_id").fill("7")
        page.get_by_label("Query: language").fill("eo")
        seen.send()
        seen.wait_for_answer()
        expect(page.get_by_role("region", name="Response as JSON")).to_contain_text('"eo"')
        # Looking at what was found is not following; End goes back to the newest line.
        page.locator("[role=log]").focus()
        page.keyboard.press("End")
        seen.wait_for_line("looking for book 7")
        said = page.get_by_role("region", name="Log lines")
        expect(said).to_contain_text("of this request")
        expect(said).to_contain_text("looking for book 7")
        said.get_by_role("button", name="Show in the log").click()

        page.get_by_role("button", name="Stop").click()
        seen.wait_for_state("Stopped")
        assert not seen.violations
        assert seen.hosts == {urlsplit(running.url).netloc}


def test_a_used_login_link_is_explained_on_the_page(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        page.goto(f"{running.url}/login/used-before")
        expect(
            page.get_by_text(
                "This sign-in link has been used or has expired. Paste a token, or restart “preview serve”"
            )
        ).to_be_visible()
        expect(page).to_have_url(f"{running.url}/")
        page.reload()
        expect(page.get_by_label("Paste a token")).to_be_visible()
        expect(page.get_by_text("This sign-in link has been used")).to_be_hidden()


@pytest.mark.long
def test_a_launch_that_cannot_work_stops_nothing_else(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        page = seen.page
        seen.sign_in(running, "careful-user")
        seen.drop_zip("good", FILES)
        seen.launch()
        seen.drop_zip("notes", {"notes.txt": "nothing to run"})
        page.get_by_role("button", name="Launch", exact=True).click()
        expect(page.get_by_role("alert")).to_be_visible()
        expect(page.get_by_role("button", name=re.compile("launch this"))).to_be_hidden()
        page.get_by_role("button", name="More for notes").click()
        page.get_by_role("menuitem", name="Delete…").click()
        page.get_by_role("alertdialog").get_by_role("button", name="Delete", exact=True).click()
        page.get_by_role("heading", name="good", exact=True, level=2).wait_for()
        seen.wait_for_state("Running")

        page.get_by_role("button", name="Filter by level and source").click()
        page.get_by_role("button", name="Program").click()
        page.get_by_role("button", name="Service").click()
        expect(page.get_by_text(re.compile(r"^0 of \d+ lines shown"))).to_be_visible()
        page.get_by_role("button", name="Show all").last.click()
        seen.wait_for_line("the shop is open")
        page.get_by_role("button", name="View and clear").click()
        page.get_by_role("menuitem", name="Clear").click()
        page.get_by_role("button", name="Show earlier lines").click()
        seen.wait_for_line("the shop is open")

        seen.pick("GET", "/books/{book_id}")
        page.get_by_label("Path: book_id").fill("x")
        seen.send()
        seen.wait_for_answer("422")
        expect(page.get_by_role("region", name="Response as JSON")).to_contain_text('"loc": ["path", "book_id"]')
        seen.pick("GET", "/page")
        expect(page.get_by_role("region", name="Response", exact=True)).to_be_hidden()
        # What was sent is among the recorded requests, with its answer.
        page.get_by_role("tab", name="Recorded").click()
        page.get_by_role("button", name=re.compile("books.x")).click()
        expect(page.get_by_role("heading", name="GET /books/x")).to_be_visible()
        expect(page.get_by_role("tabpanel", name="response")).to_contain_text("int_parsing")
        page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")
        assert not seen.violations


def test_a_folder_is_uploaded_without_what_tools_left_in_it(running: Running, browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "kiosk"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__pycache__" / "main.pyc").write_bytes(b"\0\1")
    (folder / "picture.bin").write_bytes(b"\xff\xfe\0")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    with visit(browser) as seen:
        seen.sign_in(running, "folder-user")
        seen.page.get_by_label("A folder").first.set_input_files(folder)
        seen.page.get_by_role("heading", name="kiosk", exact=True, level=2).wait_for()
    with running.api("folder-user") as api:
        (kept,) = api.get("/api/v1/generations").json()["generations"]
        files = api.get(f"/api/v1/generations/{kept['id']}").json()["files"]
    assert {(one["path"], one["size_bytes"]) for one in files} == {
        ("picture.bin", 3),
        *((name, len(text)) for name, text in FILES.items()),
    }


@pytest.mark.long
def test_an_answer_that_is_a_page_is_shown_and_cannot_run(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        seen.sign_in(running, "html-user")
        seen.drop_zip("shop", FILES)
        seen.launch()
        seen.pick("GET", "/page")
        seen.send()
        expect(seen.page.frame_locator("iframe").get_by_role("heading")).to_have_text("The shop")
        frame = seen.page.locator("iframe")
        assert frame.get_attribute("sandbox") == ""
        assert seen.page.title() == "preview"
        seen.page.get_by_role("button", name="Stop").click()
        seen.wait_for_state("Stopped")


def test_a_failed_launch_says_why(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        seen.sign_in(running, "broken-user")
        seen.drop_zip("broken", BROKEN)
        seen.launch(until="Failed")
        alert = seen.page.get_by_role("alert")
        expect(alert.first).to_be_visible()
        seen.wait_for_line("cellar_of_wines")
        expect(seen.page.get_by_role("button", name="Launch again")).to_be_enabled()
        failed = seen.page.get_by_role("list", name="Steps of the launch").locator("[data-state=failed]")
        expect(failed).to_contain_text("cellar_of_wines")


@pytest.mark.long
def test_a_launch_over_the_limit_offers_to_stop_what_is_in_the_way(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        seen.sign_in(running, "limit-user")
        seen.drop_zip("first", FILES)
        seen.launch()
        seen.drop_zip("second", FILES)
        seen.page.get_by_role("button", name="Launch", exact=True).click()
        expect(seen.page.get_by_role("alert")).to_contain_text("1 running preview (“first”)")
        seen.page.get_by_role("button", name="Stop “first”, launch this").click()
        seen.wait_for_state("Running")
        seen.page.get_by_role("button", name="Stop", exact=True).click()
        seen.wait_for_state("Stopped")


@pytest.mark.long
def test_expiry_while_watching_is_said_and_explained(browser: Browser, tmp_path: Path) -> None:
    with run_service(tmp_path, PREVIEW_MAX_UPTIME="6") as running, visit(browser) as seen:
        seen.sign_in(running, "ann")
        seen.drop_zip("shop", FILES)
        # Whether the page sees it run before that is the machine's to say.
        seen.launch(until="Stopped")
        expect(seen.page.get_by_text("time limit reached").first).to_be_visible()
        expect(seen.page.get_by_text("Ended", exact=True).first).to_be_visible()


@pytest.mark.long
def test_two_users_do_not_see_each_other_s_preview(running: Running, browser: Browser) -> None:
    with visit(browser) as ann, visit(browser) as eve:
        ann.sign_in(running, "ann-of-two")
        ann.drop_zip("secret-shop", FILES)
        ann.launch()
        address = ann.page.url
        eve.sign_in(running, "eve-of-two")
        eve.page.goto(address)
        expect(eve.page.get_by_text("Run a backend and watch its logs")).to_be_visible()
        assert "secret-shop" not in eve.page.content()
        ann.page.get_by_role("button", name="Stop").click()
        ann.wait_for_state("Stopped")


@pytest.mark.long
def test_stopping_is_confirmed_while_others_watch(running: Running, browser: Browser) -> None:
    with visit(browser) as one, visit(browser) as other:
        one.sign_in(running, "watched-user")
        one.drop_zip("shop", FILES)
        one.launch()
        other.sign_in(running, "watched-user")
        other.wait_for_line("the shop is open")
        one.page.get_by_role("button", name="Stop", exact=True).click()
        question = one.page.get_by_role("alertdialog")
        expect(question).to_contain_text("1 other is watching")
        question.get_by_role("button", name="Cancel").click()
        expect(question).to_be_hidden()
        one.page.get_by_role("button", name="Stop", exact=True).click()
        question.get_by_role("button", name="Stop").click()
        other.wait_for_state("Stopped")


def test_signing_out_ends_the_session_of_this_browser(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        seen.sign_in(running, "leaving-user")
        seen.page.get_by_role("button", name="Sign out").click()
        expect(seen.page.get_by_role("heading", name="Sign in to preview")).to_be_visible()
        assert seen.page.context.cookies() == []


def test_a_wrong_token_is_told_so(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        seen.page.goto(running.url)
        seen.page.get_by_label("Paste a token").fill("not-a-token")
        seen.page.get_by_role("button", name="Sign in").click()
        expect(seen.page.get_by_role("alert")).to_have_text("Invalid or expired token.")
