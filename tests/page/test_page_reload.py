from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_kit import FILES, Running, Visit, visit
from playwright.sync_api import Browser, expect

CHANGED = FILES["main.py"] + '\n\n@app.get("/pears")\ndef pears():\n    return "new"\n'


def write(folder: Path, main: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "main.py").write_text(main)
    return folder


def start(seen: Visit, running: Running, user: str) -> None:
    seen.sign_in(running, user)
    seen.drop_zip("shop", FILES)
    seen.launch()
    seen.wait_for_line("the shop is open")


@pytest.mark.long
def test_a_restart_goes_on_in_the_same_terminal(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        start(seen, running, "restart-user")
        first = seen.saved_lines()[0]
        seen.page.get_by_role("button", name="Restart", exact=True).click()
        seen.wait_for_line("restarted in ")
        assert seen.saved_lines()[0] == first
        seen.wait_for_state("Running")
        assert not seen.violations


@pytest.mark.long
def test_a_changed_folder_replaces_the_files_of_what_runs(running: Running, browser: Browser, tmp_path: Path) -> None:
    with visit(browser) as seen:
        start(seen, running, "folder-again-user")
        seen.page.get_by_label("The changed folder").set_input_files(write(tmp_path / "shop", CHANGED))
        seen.wait_for_line("reload: changed main.py")
        seen.wait_for_line("reloaded in ")
        seen.pick("GET", "/pears")
        seen.send()
        seen.wait_for_answer()
        assert not seen.violations


@pytest.mark.long
def test_files_that_do_not_start_are_told_and_the_old_ones_serve_on(
    running: Running, browser: Browser, tmp_path: Path
) -> None:
    with visit(browser) as seen:
        start(seen, running, "broken-folder-user")
        seen.page.get_by_label("The changed folder").set_input_files(
            write(tmp_path / "shop", "import nothing_like_it\n" + FILES["main.py"])
        )
        notice = seen.page.get_by_role("alert")
        expect(notice).to_contain_text(re.compile("does not start.*nothing_like_it.*previous version is still running"))
        seen.wait_for_state("Running")
        seen.pick("GET", "/books/{book_id}")
        seen.page.get_by_label("Path: book_id").fill("7")
        seen.send()
        seen.wait_for_answer()


@pytest.mark.long
def test_a_drop_on_what_runs_can_replace_it_or_be_a_new_project(running: Running, browser: Browser) -> None:
    with visit(browser) as seen:
        start(seen, running, "drop-user")
        header = seen.page.locator("header").first
        held = seen.page.evaluate_handle(
            """() => {
                const transfer = new DataTransfer();
                transfer.items.add(new File(["no archive"], "shop.zip", {type: "application/zip"}));
                return transfer;
            }"""
        )
        header.dispatch_event("dragenter", {"dataTransfer": held})
        expect(seen.page.get_by_text("upload a new project")).to_be_visible()
        place = seen.page.get_by_text("replace the files of shop, and reload it")
        place.dispatch_event("drop", {"dataTransfer": held})
        expect(seen.page.get_by_role("alert")).to_contain_text("neither a zip nor a tar.gz")
        expect(place).to_be_hidden()
        expect(seen.page.get_by_role("list").get_by_role("button", name=re.compile("^shop"))).to_have_count(1)
