"""The program itself: overview, version, usage, and how fast it answers."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest
import typer
from typer.main import get_command

from preview.cli.entry import COMMANDS, run
from preview.cli.exits import ApiRefused, CommandFailed, ExitCode, NoService, exit_code_of
from preview.errors import AlreadyRunning, ConfigurationError, Forbidden, GenerationNotFound, LaunchFailed, PreviewError

# They are of the start itself, and of what is imported in it.
pytestmark = pytest.mark.plain_start


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == ExitCode.OK
    assert capsys.readouterr().out.startswith("preview ")


@pytest.mark.timed
def test_the_version_answers_at_once() -> None:
    """300 ms is the promise. Counted is processor time: the wall clock would also count what else the machine does."""
    command = [sys.executable, "-c", "from preview.cli import main; main()", "--version"]
    unmeasured = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    took_s = []
    for _ in range(3):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=unmeasured)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        took_s.append(usage.ru_utime + usage.ru_stime)
        assert child.returncode == 0
    assert min(took_s) < 0.3


def test_the_overview_loads_no_command() -> None:
    script = (
        "import sys; from preview.cli.entry import run; run(['--help']);"
        "assert not [m for m in sys.modules if m.startswith('preview.cli.commands')], 'loaded'"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True).returncode == 0


def test_a_command_that_asks_a_service_loads_no_reader_of_projects() -> None:
    """Each such module takes part of the time in which a person waits for an answer."""
    script = (
        "import sys, preview.cli.commands.launch;"
        "needless = {'preview.endpoints.extraction', 'preview.detection.detector', 'preview.sources.files', 'trio'};"
        "assert needless.isdisjoint(sys.modules), needless & sys.modules.keys()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == ExitCode.OK
    overview = capsys.readouterr().out
    assert all(f" {name} " in overview for name in COMMANDS)


def test_without_a_command_the_overview_is_shown_and_it_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == ExitCode.USAGE
    assert "run" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overviews_line_is_the_first_of_the_commands_help(name: str) -> None:
    command = get_command(importlib.import_module(f"preview.cli.commands.{COMMANDS[name].module}").app)
    assert (command.help or "").splitlines()[0] == COMMANDS[name].summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == ExitCode.OK
    assert f"preview {name}" in capsys.readouterr().out


def commands_of(name: str) -> list[tuple[str, ...]]:
    command = get_command(importlib.import_module(f"preview.cli.commands.{COMMANDS[name].module}").app)
    return [(name, one) for one in getattr(command, "commands", {})] or [(name,)]


@pytest.mark.parametrize("words", [words for name in COMMANDS for words in commands_of(name)])
def test_every_command_s_help_has_an_example_and_no_flag_takes_a_value(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run([*words, "--help"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert f"Example: preview {words[0]}" in shown
    assert "<bool>" not in shown
    assert "{" not in next(row for row in shown.splitlines() if "Usage:" in row)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("preview re", {"request", "restart", "reset", "requests", "replay"}),
        ("preview launch --w", {"--wait"}),
        ("preview logs --level w", {"WARNING", "WARN"}),
    ],
)
def test_a_shell_completes_commands_options_and_choices(typed: str, offered: set[str]) -> None:
    words = typed.split(" ")
    completes = {"_PREVIEW_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
    program = [sys.executable, "-c", "from preview.cli import main; main()"]
    done = subprocess.run(program, env={**os.environ, **completes}, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) >= offered


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lunch"], "No such command 'lunch'. Did you mean 'launch', 'launches'? (see `preview --help`)"),
        (["--nothing"], "No such option: --nothing (see `preview --help`)"),
        (["stop"], "Missing argument 'GEN' (see `preview stop --help`)"),
        (["stop", "../x"], "'../x' is not a generation's id; `preview ls` shows yours."),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREVIEW_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PREVIEW_TOKEN", "x")
    assert run(arguments) == ExitCode.USAGE
    assert capsys.readouterr().err == f"preview: {said}\n"


def test_a_wrong_setting_is_one_sentence(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_PORT_MIN", "many")
    assert run(["ls"]) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert error.startswith("preview: PREVIEW_PORT_MIN: ")
    assert error.count("\n") == 1


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_PORT_MIN", "many")
    monkeypatch.setenv("PREVIEW_DEBUG", "1")
    run(["ls"])
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_quietly(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("preview.cli.commands.projects.ls.open_api", interrupt)
    assert run(["ls"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == ""


def test_an_aborted_question_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def abort(*_arguments: object, **_options: object) -> None:
        raise typer.Abort

    monkeypatch.setattr("preview.cli.commands.projects.ls.open_api", abort)
    assert run(["ls"]) == ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandFailed("x"), 1),
        (PreviewError("x"), 1),
        (LaunchFailed("x"), 1),
        (ConfigurationError("x"), 2),
        (NoService("x"), 3),
        (Forbidden("x"), 4),
        (GenerationNotFound("x"), 5),
        (AlreadyRunning("x"), 6),
        (ApiRefused("x", status=400), 1),
        (ApiRefused("x", status=401), 4),
        (ApiRefused("x", status=403), 4),
        (ApiRefused("x", status=404), 5),
        (ApiRefused("x", status=409), 6),
        (ApiRefused("x", status=429), 6),
        (ApiRefused("x", status=500), 1),
        (ApiRefused("x", status=504), 7),
    ],
)
def test_each_error_has_its_exit_code(error: PreviewError, code: int) -> None:
    assert exit_code_of(error) == code


def test_a_pipe_that_closes_early_is_no_traceback() -> None:
    command = f"{sys.executable} -c 'from preview.cli import main; main()' --help | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_a_full_device_is_a_sentence_and_no_traceback() -> None:
    command = [sys.executable, "-c", "from preview.cli import main; main()", "--help"]
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == ExitCode.FAILED
    assert done.stderr == "preview: Cannot continue: No space left on device.\n"


def test_a_command_ends_without_taking_its_modules_apart() -> None:
    """That would take a third of a short command's time. What was registered for the end is done."""
    script = (
        "import atexit, os, sys\n"
        "class Witness:\n"
        "    def __del__(self, write=os.write): write(1, b'taken apart')\n"
        "witness = Witness()\n"
        "atexit.register(print, 'registered')\n"
        "from preview.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", script, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1:] == ["registered"]


def test_a_command_ends_although_a_pool_has_an_idle_thread() -> None:
    script = (
        "import sys; from concurrent.futures import ThreadPoolExecutor\n"
        "pool = ThreadPoolExecutor(); pool.submit(int).result()\n"
        "from preview.cli import main; main()"
    )
    command = [sys.executable, "-c", script, "--version"]
    assert subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def test_ctrl_c_while_the_modules_are_read_is_an_end_without_a_traceback() -> None:
    script = (
        "import builtins; real = builtins.__import__\n"
        "def interrupted(name, *rest, **named):\n"
        "    if name == 'preview.cli.entry': raise KeyboardInterrupt\n"
        "    return real(name, *rest, **named)\n"
        "from preview.cli import main; builtins.__import__ = interrupted; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (ExitCode.INTERRUPTED, "")
