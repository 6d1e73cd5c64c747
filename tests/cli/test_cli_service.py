"""The commands against a real service with real previews."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import httpx2
import pytest
from cli_at_terminal import at_terminal
from cli_service import PROGRAM, Started, serving, write_project

from preview.cli.client import generation_path, open_api
from preview.cli.entry import run
from preview.cli.exits import ExitCode
from preview.cli.help import complete_saved


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, shared_cache: Path) -> dict[str, str]:
    root = tmp_path_factory.mktemp("service")
    return {"PREVIEW_DATA_DIR": str(root / "data"), "PREVIEW_CACHE_DIR": str(shared_cache)}


@pytest.fixture(scope="module")
def service(folders: dict[str, str]) -> Iterator[Started]:
    with serving(folders) as started:
        yield started
    assert started.process.returncode == 0
    assert not Path(folders["PREVIEW_DATA_DIR"], "service.json").exists()


@pytest.fixture
def here(service: Started, folders: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Started:
    """The client commands as a person beside the service calls them."""
    for name in ("PREVIEW_URL", "PREVIEW_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in folders.items():
        monkeypatch.setenv(name, value)
    return service


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("projects") / "shop")


@pytest.fixture
def generation(here: Started, project: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    assert run(["push", str(project), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["name"], made["file_count"]) == ("shop", 2)
    yield made["id"]
    run(["stop", made["id"]])
    capsys.readouterr()


# Works all the time, also without requests.
BUSY_PY = """
import threading, time
from fastapi import FastAPI
app = FastAPI()
def burn(): return sum(range(200_000))
def work():
    while True:
        burn()
        time.sleep(0.001)
threading.Thread(target=work, daemon=True).start()
"""


@pytest.fixture
def running(generation: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["launch", generation, "--wait", "60"]) == 0
    said = capsys.readouterr()
    assert " running at http://localhost:" in said.out
    return generation


def test_push_prints_the_id_alone(here: Started, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["push", str(project), "--name", "mine", "--project", "p1"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("gen_")
    assert said.out.count("\n") == 1
    assert "2 files" in said.err


def test_a_launch_that_is_not_waited_for_says_how_to_watch_it(
    generation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["launch", generation, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["generation_id"] == generation
    assert run(["stop", generation]) == 0
    assert run(["launch", generation]) == 0
    said = capsys.readouterr()
    assert " starting at " in said.out
    assert f"preview logs {generation} -f" in said.err


def test_a_request_goes_through_with_the_token_of_the_launch(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["request", running, "get", "/books?q=a%20b"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"q": "a b"}
    assert said.err.startswith("200 in ")


@pytest.mark.long
def test_a_streamed_request_prints_the_body_as_it_is(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [*PROGRAM, "request", running, "GET", "/bytes"]
    plain = subprocess.run(asked, capture_output=True, env=dict(os.environ))
    streamed = subprocess.run([*asked, "--stream"], capture_output=True, env=dict(os.environ))
    assert (streamed.returncode, streamed.stdout) == (0, plain.stdout)
    assert b"200, " in streamed.stderr
    capsys.readouterr()
    assert run(["request", running, "GET", "/fail", "--stream", "--fail", "--json"]) == 1
    kinds = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    assert (kinds[0], kinds[-1]) == ("head", "end")


@pytest.mark.long
def test_a_verbose_request_says_under_which_id_its_lines_are(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["request", running, "GET", "/books", "-v", "-H", "X-Request-Id: mine"]) == 0
    said = capsys.readouterr().err
    assert "request id mine, " in said
    assert f"preview logs {running} --request mine" in said


@pytest.mark.long
@pytest.mark.parametrize(
    "mistake",
    [
        ["logs", "--level", "LOUD"],
        ["logs", "--filter", "stauts:500"],
        ["open", "--path", "docs"],
        ["open", "--path", "//x"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_a_mistake_in_the_command_line(
    running: str, mistake: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command, *options = mistake
    assert run([command, running, *options]) == ExitCode.USAGE
    said = capsys.readouterr().err
    # One sentence; below it, the filter and a mark under its mistake.
    assert said.count("\n") == (3 if "--filter" in options else 1)
    assert said.startswith("preview: ")


def test_a_request_sends_json_and_headers(running: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"a": [1]}')
    assert run(["request", running, "POST", "/echo", "-d", f"@{body}", "-H", "X-Thing: 1", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["status_code"] == 200
    assert json.loads(answer["body"]) == {"a": [1]}
    filled = ["request", running, "POST", "/{{where}}", "-d", '{"a": {{n}}}', "--var", "where=echo", "--var", "n=7"]
    assert run([*filled, "--json"]) == 0
    assert json.loads(json.loads(capsys.readouterr().out)["body"]) == {"a": 7}
    assert run(["request", running, "GET", "/{{nothing}}", "--resolve"]) == 1
    assert "nothing" in capsys.readouterr().err


@pytest.mark.long
def test_a_saved_request_is_sent_with_its_variables_and_secrets(
    running: str, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = {
        "method": "POST", "path": "/{where}", "pathFields": [{"name": "where", "value": "echo", "type": "path"}],
        "query": [], "headers": [{"name": "Content-Type", "value": "application/json", "type": None}],
        "body": '{"key": "{{key}}", "n": {{n}}}', "bodyKind": "text", "cookies": [], "form": [],
    }  # fmt: skip
    with open_api(None) as api:
        path = generation_path(running, "/preview")
        body = {"name": "Add a book", "method": "POST", "path": "/{where}", "more": {"draft": draft}}
        api.call("POST", f"{path}/saved", body=body)
        api.call("PUT", f"{path}/variables/key", body={"value": "s3cr3t-value", "secret": True})
    assert run(["request", running, "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["Add", "a", "book", "POST", "/{where}"]
    assert run(["request", running, "--saved", "add a book", "--var", "n=7", "--json"]) == 0
    assert json.loads(json.loads(capsys.readouterr().out)["body"]) == {"key": "s3cr3t-value", "n": 7}
    assert run(["request", running, "--saved", "Add a book", "-d", '{"n": 1}', "--json"]) == 0
    assert json.loads(json.loads(capsys.readouterr().out)["body"]) == {"n": 1}
    assert run(["request", running, "--saved", "Add a book"]) == 1
    assert "'n'" in capsys.readouterr().err
    assert run(["request", running, "--saved", "Ad a book"]) == ExitCode.USAGE
    assert "did you mean 'Add a book'?" in capsys.readouterr().err
    for mistake in (["GET"], [], ["--list", "GET", "/"], ["--saved", "x", "GET", "/"], ["--saved", "x", "--list"]):
        assert run(["request", running, *mistake]) == ExitCode.USAGE, mistake
        assert "METHOD and PATH" in capsys.readouterr().err
    context = Mock(params={"generation": running})
    assert complete_saved(context, "add") == [("Add a book", "POST /{where}")]
    assert complete_saved(Mock(params={}), "") == []


ACTS = "\x1b]0;title\x07\x1b]52;c;aGk=\x07\x1b[2J\x9b2J\u202eevil"


@pytest.mark.long
def test_at_a_terminal_an_answer_s_controls_are_escapes_and_in_a_pipe_its_bytes(
    running: str, folders: dict[str, str]
) -> None:
    code, shown = at_terminal("request", running, "GET", "/acts", environment=folders)
    assert code == 0
    assert "\\u001b]0;title\\u0007\\u001b]52;c;aGk=\\u0007\\u001b[2J\\u009b2J\\u202eevil" in shown
    assert not any(one in shown for one in ("\x1b]0", "\x1b]52", "\x1b[2J", "\x9b", "\u202e"))
    done = subprocess.run([*PROGRAM, "request", running, "GET", "/acts"], capture_output=True, env=dict(os.environ))
    assert done.stdout == f"{ACTS}\n".encode()


@pytest.mark.long
def test_json_nested_without_end_is_shown_as_it_came(running: str, folders: dict[str, str]) -> None:
    code, shown = at_terminal("request", running, "GET", "/deep", environment=folders)
    assert code == 0
    assert "[" * 20_000 in shown.replace("\r\n", "")


@pytest.mark.long
def test_bytes_come_as_bytes(running: str) -> None:
    done = subprocess.run([*PROGRAM, "request", running, "GET", "/bytes"], capture_output=True, env=dict(os.environ))
    assert done.stdout == bytes([0, 255, 1])


def test_the_previews_own_errors_fail_only_if_asked_to(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["request", running, "GET", "/fail"]) == 0
    assert run(["request", running, "GET", "/fail", "--fail"]) == 1
    assert "418 in " in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.parametrize("kept", ["wrong", None])
def test_a_request_gets_a_token_from_the_service(
    kept: str | None, running: str, folders: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(folders["PREVIEW_DATA_DIR"], "client", "tokens.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # A preview that was launched on the page has no token here; one that has expired is wrong.
    path.write_text(json.dumps({} if kept is None else dict.fromkeys(json.loads(path.read_text()), kept)))
    assert run(["request", running, "GET", "/books"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == {"q": ""}
    assert run(["request", running, "GET", "/books"]) == ExitCode.OK


def test_logs_show_what_was_said_and_end(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["logs", running]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith("| hello from the app") for line in lines)
    assert any(" * " in line for line in lines)
    assert run(["logs", running, "--filter", "HELLO -source:system -path:/health"]) == 0
    assert [line.rpartition("| ")[2] for line in capsys.readouterr().out.splitlines()] == ["hello from the app"]
    assert run(["logs", running, "--tail", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.long
def test_logs_as_json_are_numbered(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["logs", running, "--json", "--checks"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    numbers = [event["seq"] for event in events if event["event"] == "log"]
    assert numbers == list(range(1, len(numbers) + 1))


def test_following_ends_with_the_preview(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    stopper = threading.Timer(0.2, run, [["stop", running]])
    stopper.start()
    assert run(["logs", running, "-f", "--json"]) == 0
    stopper.join()
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [event["status"] for event in events if event["event"] == "end"] == ["stopped"]


def test_ctrl_c_is_the_ordinary_end_of_following(running: str) -> None:
    follower = subprocess.Popen([*PROGRAM, "logs", running, "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert follower.stdout is not None
    assert follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    _, error = follower.communicate(timeout=60)
    assert (follower.returncode, error) == (0, b"")


def test_ls_shows_where_a_preview_is(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", "--status", "running"]) == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row[:3] == [running, "shop", "running"]
    assert row[3].startswith("http://localhost:")
    assert run(["ls", "--json", "--limit", "1"]) == 0
    assert [one["generation_id"] for one in json.loads(capsys.readouterr().out)["previews"]] == [running]


def test_an_operator_lists_the_previews_of_all(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["ls", "--all", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["items"]
    assert [one["generation_id"] for one in found] == [running]
    assert run(["ls", "--all"]) == 0
    head, row = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["PREVIEW", "USER", "NODE", "STATUS", "AGE", "MEMORY"]
    assert row[:4] == [found[0]["id"], "local", found[0]["node"], "running"]
    assert run(["ls", "--all", "--status", "running"]) == ExitCode.USAGE


@pytest.mark.long
def test_a_project_that_was_never_launched_is_listed_and_can_be_deleted(
    running: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", str(project), "--name", "idle"]) == 0
    idle = capsys.readouterr().out.strip()
    assert run(["ls", "--limit", "1000"]) == 0
    assert [idle, "idle", "not", "launched"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    assert run(["projects", "--json"]) == 0
    states = {one["id"]: one["status"] for one in json.loads(capsys.readouterr().out)["projects"]}
    assert (states[idle], states[running]) == (None, "running")
    assert run(["rename", idle, "Idle\n2"]) != 0
    assert run(["rename", "gen_nobodys", "mine"]) == ExitCode.NOT_FOUND
    assert run(["rename", idle, "idle 2"]) == 0
    assert "“idle 2”" in capsys.readouterr().out
    assert run(["rename", idle, "--group", "x" * 81]) != 0
    assert run(["rename", idle]) == ExitCode.USAGE
    capsys.readouterr()
    assert run(["rename", idle, "--group", "Old ones"]) == 0
    assert "in the group “Old ones”" in capsys.readouterr().out
    for group, found in (("Old ones", [idle]), ("none", [])):
        assert run(["projects", "--group", group, "--json"]) == 0
        assert [one["id"] for one in json.loads(capsys.readouterr().out)["projects"]] == found
    assert run(["rename", idle, "idle", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "idle"
    # There is no terminal to ask at: nothing is deleted.
    assert run(["rm", idle]) == ExitCode.USAGE
    assert 'Delete "idle"' in capsys.readouterr().err
    assert run(["rm", idle, "--yes"]) == 0
    assert f"preview undo {idle}" in capsys.readouterr().err
    assert run(["undo", "gen_nobodys"]) == ExitCode.NOT_FOUND
    assert run(["undo", "--json"]) == 0
    assert [one["id"] for one in json.loads(capsys.readouterr().out)["items"]] == [idle]
    assert run(["undo", idle]) == 0
    assert run(["undo"]) == 0
    assert "Nothing can be restored" in capsys.readouterr().err
    assert run(["rm", idle, "--yes"]) == 0
    assert run(["rm", running, "--yes"]) == 0
    capsys.readouterr()
    assert run(["projects"]) == 0
    shown = capsys.readouterr().out
    assert idle not in shown
    assert running not in shown


def test_endpoints_of_the_running_application(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["endpoints", running, "--app", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert ("GET", "/books", "application") in {
        (one["method"], one["path"], one["source"]) for one in shown["endpoints"]
    }
    assert run(["ls", "--json"]) == 0
    preview_id = next(
        one["id"] for one in json.loads(capsys.readouterr().out)["previews"] if one["generation_id"] == running
    )
    assert run(["endpoints", preview_id, "--app"]) == 0
    assert "/books" in capsys.readouterr().out


@pytest.mark.long
def test_profile_shows_where_the_time_of_a_running_preview_goes(
    here: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["push", str(write_project(tmp_path / "busy", BUSY_PY)), "--json"]) == 0
    busy = json.loads(capsys.readouterr().out)["id"]
    assert run(["launch", busy, "--wait", "60"]) == 0
    capsys.readouterr()
    assert run(["profile", busy, "--last"]) == ExitCode.NOT_FOUND
    assert "never measured; start a measurement first" in capsys.readouterr().err
    done = subprocess.run([*PROGRAM, "profile", busy, "--seconds", "1"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    first, head, *rows = done.stdout.splitlines()
    assert " ms in the project's functions, of " in first
    assert head.split() == ["TOTAL", "MS", "OWN", "MS", "CALLS", "FUNCTION"]
    assert any(" work (main.py:6)" in row for row in rows), rows
    assert run(["profile", busy, "--last", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["state"] == "finished"
    assert {"burn", "work"} <= {one["name"] for one in found["functions"]}
    assert run(["profile", busy, "--last", "--functions", "--all"]) == 0
    assert "burn (main.py:5)" in capsys.readouterr().out
    assert run(["stop", busy]) == 0
    capsys.readouterr()
    assert run(["profile", busy, "--seconds", "1"]) != 0
    assert capsys.readouterr().err.count("\n") == 1


def test_stop_answers_when_it_is_gone(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["stop", running]) == 0
    assert capsys.readouterr().out == f"{running} stopped; `preview launch {running}` starts it again\n"
    assert run(["stop", running]) == 0
    assert capsys.readouterr().out == f"{running} stopped; `preview launch {running}` starts it again\n"
    assert run(["stop", "gen_doesnotexist1234"]) == ExitCode.NOT_FOUND
    assert run(["request", running, "GET", "/"]) == ExitCode.FAILED
    assert run(["launch", running]) == 0
    assert run(["stop", running, "--json"]) == 0


def test_a_second_launch_is_a_conflict(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["launch", running]) == ExitCode.CONFLICT
    assert capsys.readouterr().err.count("\n") == 1


def test_a_launch_that_fails_shows_the_last_lines(
    here: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = write_project(
        tmp_path / "broken", "from fastapi import FastAPI\napp = FastAPI()\nraise RuntimeError('why')\n"
    )
    run(["push", str(broken)])
    generation = capsys.readouterr().out.strip()
    assert run(["launch", generation, "--wait", "60"]) == ExitCode.FAILED
    assert "RuntimeError: why" in capsys.readouterr().err


def test_nothing_of_an_unknown_generation(here: Started, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["launch", "gen_nowhere"]) == ExitCode.NOT_FOUND
    assert run(["logs", "gen_nowhere"]) == ExitCode.NOT_FOUND
    assert run(["request", "gen_nowhere", "GET", "/"]) == ExitCode.NOT_FOUND
    assert "There is no generation" in capsys.readouterr().err


def test_a_token_from_here_is_good_there(here: Started, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "ada", "--tier", "pro"]) == 0
    token = capsys.readouterr().out.strip()
    answer = httpx2.get(f"{here.url}/api/v1/previews", headers={"Authorization": f"Bearer {token}"}, trust_env=False)
    assert answer.json() == {"previews": [], "next_cursor": None}


def test_another_service_is_named_by_url_and_token(
    here: Started, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["token", "ada", "--json"]) == 0
    token = json.loads(capsys.readouterr().out)["token"]
    monkeypatch.setenv("PREVIEW_DATA_DIR", "/nonexistent/elsewhere")
    assert run(["ls", "--url", here.url]) == ExitCode.FAILED
    assert "set PREVIEW_TOKEN" in capsys.readouterr().err
    monkeypatch.setenv("PREVIEW_TOKEN", token)
    assert run(["ls", "--url", f"{here.url}/"]) == 0
    monkeypatch.setenv("PREVIEW_TOKEN", "wrong")
    assert run(["ls", "--url", here.url]) == ExitCode.NOT_ALLOWED


def test_the_link_logs_in_once(here: Started) -> None:
    with httpx2.Client(trust_env=False) as browser:
        assert browser.get(here.login).status_code in {302, 303}
        assert browser.cookies
    assert httpx2.get(here.login, trust_env=False).status_code >= 400


def test_doctor_finds_the_service(here: Started, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    assert f"process {here.process.pid} at {here.url}, ready" in capsys.readouterr().out


def test_a_second_service_on_one_folder_is_refused_in_one_sentence(here: Started) -> None:
    done = subprocess.run([*PROGRAM, "serve"], capture_output=True, text=True, timeout=60, env=dict(os.environ))
    assert done.returncode == ExitCode.FAILED
    assert f"is in use by process {here.process.pid} at {here.url}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_open_starts_a_browser_with_a_link_that_leads_to_the_preview(
    here: Started, running: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("typer.launch", started.append)
    assert run(["open", running, "--path", "/books?q=x"]) == 0
    url = capsys.readouterr().out.strip()
    assert started == [url]
    target = httpx2.URL(url)
    answer = httpx2.get(
        f"{here.url}{target.raw_path.decode()}", headers={"Host": target.netloc.decode()}, trust_env=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/books?q=x")
    assert run(["open", running, "--print"]) == 0
    assert len(started) == 1


def test_share_makes_lists_and_revokes_links(running: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["share", running, "--expires", "60", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert run(["share", running]) == 0
    said_of_it = capsys.readouterr()
    assert "valid until" in said_of_it.out
    assert "set PREVIEW_DOMAIN to share" in said_of_it.err
    assert run(["share", running, "--expires", "99999999"]) == 0
    assert "the service limits the lifetime of links" in capsys.readouterr().err
    assert run(["share", running, "--public"]) == 0
    said = capsys.readouterr().out
    assert "anybody who knows the address" in said
    assert made["url"] in said
    assert run(["share", running, "--revoke", made["id"]]) == 0
    assert run(["share", running, "--revoke", "all"]) == 0
    capsys.readouterr()
    assert run(["share", running, "--list", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["public"], shown["shares"]) == (False, [])
    assert run(["share", running, "--list", "--public"]) == ExitCode.USAGE
