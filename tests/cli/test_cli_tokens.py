"""The client's own file of preview tokens."""

from __future__ import annotations

import stat
from pathlib import Path

from preview.cli.tokens import TokenFile


def test_the_newest_token_of_a_generation_is_found(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    tokens.keep("http://a", "gen_1", "old")
    tokens.keep("http://a", "gen_1", "new")
    tokens.keep("http://b", "gen_1", "elsewhere")
    assert TokenFile(tmp_path).find("http://a", "gen_1") == "new"
    assert TokenFile(tmp_path).find("http://a", "gen_2") is None


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    TokenFile(tmp_path).keep("http://a", "gen_1", "secret")
    assert stat.S_IMODE((tmp_path / "client" / "tokens.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "client").stat().st_mode) == 0o700


def test_the_file_is_bounded_and_forgets_the_oldest(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    for number in range(205):
        tokens.keep("http://a", f"gen_{number}", "x")
    assert tokens.find("http://a", "gen_4") is None
    assert tokens.find("http://a", "gen_5") == "x"


def test_a_broken_file_is_as_good_as_none(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path)
    tokens.keep("http://a", "gen_1", "x")
    (tmp_path / "client" / "tokens.json").write_text("{")
    assert tokens.find("http://a", "gen_1") is None
