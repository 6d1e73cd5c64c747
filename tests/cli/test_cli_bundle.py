"""The support bundle: no secret of the settings or the environment is in it, and what helps is."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.auth import load_or_create_secret
from preview.cli.doctor import bundle
from preview.cli.doctor.bundle import MASK, masked, secrets_of, shown_settings, write_bundle
from preview.cli.doctor.result import Check, Result
from preview.cli.exits import CommandFailed
from preview.http.metrics.recent import RecentLog, SlowOperations
from preview.settings import load_settings

SECRETS = {
    "PREVIEW_DATABASE_URL": "postgresql://preview:d4tab4se-pw@db.internal/preview",
    "PREVIEW_JWT_SECRET": "jwt-s3cr3t-of-32-characters-or-more",
    "PREVIEW_SEALING_KEYS": "k3y-one-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,k3y-two-BBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
    "PREVIEW_LOG_SHIPPING": "pipe:send --header 'hunter2-header'",
    "PREVIEW_POSTGRES": "postgresql://admin:p0stgr3s-pw@10.0.0.9/postgres",
    "AWS_SECRET_ACCESS_KEY": "aws/s3cr3t+key=",
    "SENTRY_DSN": "https://abcdef0123456789@sentry.example/1",
    "MY_PROXY": "http://proxy-user:pr0xy-pw@proxy:3128",
    "GITHUB_TOKEN": "ghp_0123456789",
}
_TELLING = (
    "d4tab4se-pw",
    "jwt-s3cr3t",
    "k3y-one",
    "k3y-two",
    "hunter2",
    "p0stgr3s-pw",
    "s3cr3t+key",
    "pr0xy-pw",
    "ghp_",
)


def contents(path: Path) -> Mapping[str, str]:
    with tarfile.open(path) as archive:
        return {one.name.partition("/")[2]: archive.extractfile(one).read().decode() for one in archive}  # type: ignore[union-attr]


def test_no_secret_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SECRETS | {"PREVIEW_DATA_DIR": str(tmp_path / "data")}).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret").write_text("f1le-s3cr3t\n")
    leaky = Check("leak", Result.OK, f"all of it: {json.dumps(SECRETS)} f1le-s3cr3t aws%2Fs3cr3t%2Bkey%3D")
    path = write_bundle(tmp_path / "bundle.tar.gz", settings, [leaky])
    assert path.stat().st_mode & 0o077 == 0
    found = contents(path)
    everything = "\n".join(found.values())
    for secret in (*_TELLING, "f1le-s3cr3t", "aws%2Fs3cr3t", "abcdef0123456789"):
        assert secret not in everything, secret
    assert {"versions.json", "settings.json", "checks.json", "service.txt"} == set(found)
    shown = json.loads(found["settings.json"])
    assert shown["PREVIEW_JWT_SECRET"] == {"value": "(set)", "is_default": False}
    assert shown["PREVIEW_POSTGRES"]["value"] == "(set)"
    assert shown["PREVIEW_MAX_PREVIEWS"] == {"value": 100, "is_default": True}
    assert "pydantic" in json.loads(found["versions.json"])["packages"]
    with pytest.raises(CommandFailed, match="exists already"):
        write_bundle(path, settings, [])


def test_what_the_running_service_says_is_in_it_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "s3cr3t-of-a-key")
    said: dict[str, Any] = {
        "metrics": "preview_previews 3.0\n",
        "log": ['{"event": "isolation enabled"}', '{"event": "wrong", "why": "s3cr3t-of-a-key"}'],
        "slow": [{"operation": "POST v1.launch 200", "elapsed_ms": 6000}],
        "isolation": "sandbox",
    }
    client = Mock()
    client.get_json.side_effect = lambda _path: dict(said)

    @contextmanager
    def open_api(_url: object) -> Iterator[Mock]:
        yield client

    monkeypatch.setattr(bundle, "open_api", open_api)
    found = contents(write_bundle(tmp_path / "bundle.tar.gz", load_settings(data_dir=tmp_path), []))
    client.get_json.assert_called_once_with("/operator/diagnostics")
    assert found["metrics.txt"] == said["metrics"]
    assert found["service-log.jsonl"].splitlines() == [said["log"][0], said["log"][1].replace("s3cr3t-of-a-key", MASK)]
    service = json.loads(found["service.json"])
    assert (service["slow"], service["isolation"]) == (said["slow"], said["isolation"])


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=20), st.text(max_size=20))
def test_a_secret_is_masked_in_each_form(secret: str, around: str) -> None:
    text = f"{around}{secret}{json.dumps({'a': secret})}"
    for form in (secret, json.dumps(secret)[1:-1]):
        if form not in MASK and form not in around and len(set(form)) > 3:
            assert form not in masked(text, [secret]).replace(MASK, "\n")


def test_addresses_that_may_have_a_key_are_hidden(tmp_path: Path) -> None:
    address = "https://login.test/keys?api_key=k3y-0f-it"
    settings = load_settings(data_dir=tmp_path, jwks_url=address, otlp_endpoint="http://127.0.0.1:4318/t0ken-path")
    shown = shown_settings(settings)
    for name, value in (("PREVIEW_JWKS_URL", address), ("PREVIEW_OTLP_ENDPOINT", "http://127.0.0.1:4318/t0ken-path")):
        assert shown[name]["value"] == "(set)"
        assert value in secrets_of(settings, {})


def test_the_key_of_tokens_is_a_secret_and_a_word_is_none(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    key = load_or_create_secret(settings)
    found = secrets_of(settings, {"HOME": "/root", "EDITOR": "vim", "API_KEY": "abc"})
    assert key in found
    assert "/root" not in found
    assert "abc" not in found


def test_log_lines_and_slow_operations_have_a_bound() -> None:
    log, slow = RecentLog(), SlowOperations()
    for number in range(2000):
        log(None, "info", {"event": f"line {number}", "big": "x" * 5000, "odd": object()})
        slow.call("read", 2.0)
        slow.call("read", 0.1)
        slow.request("v1.launch", "POST", 200, 6.0)
    assert len(log.lines()) == 500
    assert max(map(len, log.lines())) == 2000
    assert len(slow.list()) == 100
    assert slow.list()[-1]["operation"] == "POST v1.launch 200"
