"""What ``preview token`` refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from joserfc import jwt

from preview.auth import load_or_create_secret
from preview.auth.tokens import signing_key
from preview.cli.entry import run
from preview.cli.exits import ExitCode
from preview.settings import load_settings


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


def test_a_node_accepts_a_token_made_beside_it_without_its_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREVIEW_CLUSTER_SECRET", "s" * 48)
    monkeypatch.setenv("PREVIEW_DATABASE_URL", "postgresql://preview:secret@db.example.com/preview")
    assert run(["token", "ada"]) == ExitCode.OK
    token = capsys.readouterr().out.strip()
    node = load_settings(None, cluster=True, node_address="10.0.0.1:7000")
    assert jwt.decode(token, signing_key(load_or_create_secret(node))).claims["sub"] == "ada"


def test_a_cluster_s_secret_that_is_too_short_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREVIEW_CLUSTER_SECRET", "short")
    assert run(["token", "ada"]) == ExitCode.USAGE
    assert "PREVIEW_CLUSTER_SECRET with at least 32 bytes" in capsys.readouterr().err
