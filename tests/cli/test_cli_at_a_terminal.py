"""What a person at a terminal sees: colours, a spinner, and no trace of it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_at_terminal import at_terminal


@pytest.mark.long
def test_a_spinner_turns_while_it_works_and_colours_mark_the_results(tmp_path: Path, shared_cache: Path) -> None:
    folders = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}
    code, shown = at_terminal("doctor", environment=folders)
    assert code == 0
    assert "looking…" in shown
    assert "\x1b[32mok  \x1b[0m" in shown
    # The cursor is shown again (DECTCEM).
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l")


def test_an_error_is_marked_in_red(tmp_path: Path) -> None:
    code, shown = at_terminal("ls", environment={"PREVIEW_DATA_DIR": str(tmp_path)})
    assert code == 3
    assert shown.startswith("\x1b[31mpreview:\x1b[0m No service is running")
