"""``preview run --check``: a backend is started, probed, checked and ended; the reports name what broke."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest
from cli_service import PROGRAM, write_project

from preview.cli.commands.understand.junit import Case
from preview.cli.commands.understand.run_check import probe_cases
from preview.cli.commands.understand.summary import markdown_failures
from preview.cli.entry import run
from preview.cli.exits import ExitCode

pytestmark = pytest.mark.usefixtures("own_folders")

# It publishes no OpenAPI document: the endpoints are those that the service finds.
BROKEN = """
from fastapi import FastAPI

app = FastAPI(openapi_url=None)


@app.get("/books")
def books() -> dict[str, int]:
    return {"count": 2}


@app.get("/half")
def half() -> float:
    return 1 / (len("none") - 4)
"""
CLEAN = BROKEN.replace(" - 4", " - 2")
CHECKS = """
[[check]]
name = "books"
request = "GET /books"
expect = ["$.count == 2"]

[[check]]
name = "a half"
request = "GET /half?a=b%20c"
headers = {X-Shop = "it's"}
"""


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, "run", "--check", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_reports_name_what_broke(tmp_path: Path) -> None:
    project = write_project(tmp_path / "shop", BROKEN)
    (project / "preview.checks.toml").write_text(CHECKS)
    report, summary = tmp_path / "report.xml", tmp_path / "summary.md"
    done = check(str(project), "--budget", "10", "--junit", str(report), "--summary", str(summary))
    assert (done.returncode, done.stderr.splitlines()[-1]) == (ExitCode.FAILED, "shop: 2 broke"), done.stderr
    error = "ZeroDivisionError: division by zero"
    frame, command = "(at main.py:14 in half)", """curl -i -X GET "$PREVIEW"/half"""
    probe, checks = ET.parse(report).getroot()
    failures = {case.get("name"): case[0] for suite in (probe, checks) for case in suite if len(case)}
    assert sorted(map(str, failures)) == ["GET /half", "a half"]
    assert {case.get("name") for case in probe} == {"GET /books", "GET /half"}
    assert error in failures["GET /half"].get("message", "")
    assert frame in failures["GET /half"].get("message", "")
    assert command in (failures["GET /half"].text or "").splitlines()
    assert failures["a half"].get("message") == f"The status is 500, and 200 was expected. {error} {frame}"
    assert """"$PREVIEW"'/half?a=b%20c' -H 'X-Shop: it'"'"'s'""" in (failures["a half"].text or "")
    text = summary.read_text()
    assert text.startswith("### shop: 2 broke\n")
    assert "| broke | GET /half |" in text
    assert "| ok | books |" in text
    assert f"\n{command}\n" in text


@pytest.mark.long
def test_one_without_mistakes_and_checks_is_only_probed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(write_project(tmp_path / "shop", CLEAN))
    done = check("--budget", "10", "--json")
    assert done.returncode == ExitCode.OK, done.stderr
    found = json.loads(done.stdout)
    assert (found["checks"], found["probe"]["findings"]) == (None, [])
    assert {row["path"] for row in found["probe"]["rows"] if row["ok"]} == {"/books", "/half"}


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    project = write_project(tmp_path / "shop", f"{CLEAN}\nraise RuntimeError('no price list')\n")
    report, summary = tmp_path / "report.xml", tmp_path / "summary.md"
    done = check(str(project), "--junit", str(report), "--summary", str(summary))
    assert (done.returncode, "no price list" in done.stderr) == (ExitCode.FAILED, True), done.stderr
    probe, checks = ET.parse(report).getroot()
    assert [(case.get("name"), case[0].tag) for case in probe] == [("start", "failure")]
    assert len(checks) == 0
    assert "no price list" in summary.read_text()


@pytest.mark.long
def test_a_signal_leaves_no_process(tmp_path: Path) -> None:
    project = write_project(tmp_path / "shop", CLEAN)
    terminal, given = pty.openpty()
    try:
        process = subprocess.Popen(
            [*PROGRAM, "run", "--check", str(project), "--budget", "60"],
            stdout=subprocess.DEVNULL,
            stderr=given,
            env=dict(os.environ) | {"TERM": "xterm"},
        )
        os.close(given)
        said = b""
        while b"probing" not in said:
            said += os.read(terminal, 4096)
        children = psutil.Process(process.pid).children(recursive=True)
        assert children
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == ExitCode.INTERRUPTED
        assert psutil.wait_procs(children, timeout=10)[1] == []
    finally:
        os.close(terminal)


@pytest.mark.parametrize(
    "options", [["--check", "--watch"], ["--check", "--port", "8000"], ["--budget", "5"], ["--junit", "a.xml"]]
)
def test_options_that_do_not_fit_are_refused(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", ".", *options]) == ExitCode.USAGE
    assert "--check" in capsys.readouterr().err


def test_a_probe_that_failed_is_a_failure() -> None:
    [case] = probe_cases({"state": "failed", "error": "No port is free.", "rows": [], "findings": []})
    assert case.failure == "The probe failed: No port is free."


def test_text_of_an_application_stays_in_its_block_of_the_summary() -> None:
    text = markdown_failures([Case("<b>", failure="a\n````\n<script>\x1b[31m"), Case("good")])
    assert text == "**\\<b\\>**\n\n`````text\na\n````\n<script>\\u001b[31m\n`````\n\n"
