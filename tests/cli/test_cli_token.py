"""What ``preview token`` refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.cli.entry import run
from preview.cli.exits import ExitCode


@pytest.fixture(autouse=True)
def _data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("PREVIEW_TOKEN", raising=False)


@pytest.fixture
def _public_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_JWT_ALGORITHM", "ES256")
    monkeypatch.setenv("PREVIEW_JWKS_FILE", str(tmp_path / "jwks.json"))


@pytest.mark.parametrize(
    ("arguments", "said"), [(["a b"], "cannot be a user's id"), (["a", "--tier", "gold"], "'gold'")]
)
def test_a_wrong_user_or_tier_is_a_mistake(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", *arguments]) == ExitCode.USAGE
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("_public_keys")
def test_with_public_keys_no_token_can_be_made_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "ada"]) == ExitCode.FAILED
    assert "identity provider" in capsys.readouterr().err
