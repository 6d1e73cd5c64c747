"""The pytest plugin in a pytest of its own, against a real service."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from client_kit import FILES, Service

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
TESTS = """
import pytest


@pytest.fixture(scope="session")
def backend(preview_launch):
    return preview_launch("shop", env={"MODE": "tested"})


def test_good(backend):
    assert backend.get("/good").json() == {"path": "/good", "mode": "tested"}
    assert backend.post("/x", b"sent").content == b"sent"


def test_bad(backend):
    assert backend.get("/books/1").status_code == 201


def test_broken(backend):
    backend.get("/boom")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, service: Service, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PREVIEW_URL", service.url)
    monkeypatch.setenv("PREVIEW_TOKEN", service.token)
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    folder = pytester.mkdir("shop")
    for path, text in FILES.items():
        (folder / path).write_text(text)
    return pytester


def run(project: pytest.Pytester, tests: str, *options: str) -> pytest.RunResult:
    project.makepyfile(tests)
    return project.runpytest_subprocess("-p", "preview.client.pytest_plugin", "-p", "no:cacheprovider", *options)


@pytest.mark.long
def test_a_failed_test_shows_what_its_own_requests_printed(project: pytest.Pytester) -> None:
    result = run(project, TESTS)
    result.assert_outcomes(passed=1, failed=2)
    said = result.stdout.str()
    assert "preview: GET /books/1 200" in said
    assert "asked for /books/1" in said
    assert "preview: GET /good" not in said
    assert "preview: GET /boom upstream_failed" in said
    assert "KeyError" in said


def test_a_backend_that_does_not_start_fails_the_test_with_its_last_lines(project: pytest.Pytester) -> None:
    (project.path / "shop" / "main.py").write_text("print('no luck today', flush=True)\nraise SystemExit(3)\n")
    result = run(project, "def test_it(backend): pass", "-o", "preview_folder=shop")
    result.assert_outcomes(errors=1)
    assert "no luck today" in result.stdout.str()


@pytest.mark.long
def test_without_an_address_a_service_is_started_for_the_run(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREVIEW_URL")
    monkeypatch.delenv("PREVIEW_TOKEN")
    result = run(
        project, "def test_it(backend): assert backend.get('/a').status_code == 200", "-o", "preview_folder=shop"
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("file", ["pyproject.toml", "clients/python/pyproject.toml"])
def test_both_distributions_register_it(file: str) -> None:
    project = tomllib.loads((ROOT / file).read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"preview": "preview.client.pytest_plugin"}
