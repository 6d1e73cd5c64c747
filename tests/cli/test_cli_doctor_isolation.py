"""What the doctor says of isolation, on this machine and on others."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from cli_service import PROGRAM

from preview.cli.commands.upkeep import doctor
from preview.cli.doctor import checks as checked
from preview.cli.doctor.checks import _minimum, isolation_checks
from preview.cli.doctor.result import Check, Result
from preview.core.isolation import Isolation, Network
from preview.environments.sandbox.installed import Installed
from preview.environments.sandbox.interpreter import PythonInterpreter
from preview.runtime import (
    ColdStarts,
    Held,
    IsolationLevel,
    IsolationSupport,
    PlainRuntime,
    ProcessSpec,
    RunningProcess,
)
from preview.runtime.sandbox import NoRange
from preview.settings import Settings, load_settings


class Machine(ColdStarts):
    """A runtime as the doctor asks it."""

    def __init__(
        self, name: str = "sandbox", held: frozenset[Held] = frozenset({"memory", "cpu", "processes"})
    ) -> None:
        self.name = name
        self._held = held

    def describe(self) -> Mapping[str, str]:
        return {}

    def holds(self) -> frozenset[Held]:
        return self._held

    def network(self, wanted: Network) -> Network:
        return wanted if self.name == "sandbox" else Network.HOST

    def shares_listener(self, network: Network) -> bool:
        raise AssertionError(network)

    def open_process(self, spec: ProcessSpec) -> AbstractAsyncContextManager[RunningProcess]:
        raise AssertionError(spec)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data", cache_dir=tmp_path / "cache")


def found(
    settings: Settings, machine: Machine, monkeypatch: pytest.MonkeyPatch, *rungs: IsolationLevel
) -> dict[str, Check]:
    @asynccontextmanager
    async def ladder(_settings: Settings, *, check: bool) -> AsyncIterator[IsolationSupport]:
        assert not check
        yield IsolationSupport(machine, rungs)

    monkeypatch.setattr(checked, "open_ladder", ladder)
    return {check.name: check for check in isolation_checks(settings)}


def changed(settings: Settings, **values: object) -> Settings:
    return settings.model_copy(update=values)


SANDBOX = IsolationLevel("sandbox", holds=True, found="own namespaces")
MISSING = IsolationLevel("sandbox", holds=False, found="the program bwrap is not installed", advice="install it")


def test_a_rung_that_is_missing_is_a_warning_with_its_advice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusted = changed(settings, isolation=Isolation.TRUSTED)
    check = found(trusted, Machine("plain"), monkeypatch, MISSING)["sandbox"]
    assert check == Check("sandbox", Result.WARN, MISSING.found, "install it", "isolation")


def test_a_rung_that_is_required_and_missing_fails(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    required = changed(settings, isolation=Isolation.REQUIRE)
    check = found(required, Machine("plain"), monkeypatch, MISSING)["sandbox"]
    assert check.result is Result.FAIL
    assert "PREVIEW_ISOLATION=require" in check.found


def test_without_a_sandbox_the_network_that_previews_really_have_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = found(settings, Machine("plain"), monkeypatch)["network"]
    assert check.result is Result.WARN
    assert check.found.startswith("host, though PREVIEW_NETWORK=none")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "none: a preview reaches nothing but itself; it may not ask for more"),
        ({"network_allowed": Network.HOST}, "it may ask for host"),
        ({"network_allowed": Network.LOOPBACK_ONLY, "loopback_ports": (5432, 6379)}, "(ports 5432, 6379)"),
        ({"network": Network.HOST}, "including the service itself; it may not ask for more"),
    ],
)
def test_the_network_that_previews_have_and_may_ask_for_is_said(
    values: dict[str, object], said: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = found(changed(settings, **values), Machine(), monkeypatch)["network"]
    assert (check.result, check.advice) == (Result.OK, "")
    assert check.found.endswith(said)


@pytest.mark.parametrize("name", ["network", "network_allowed"])
def test_loopback_only_without_a_port_is_a_warning(
    name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = found(changed(settings, **{name: Network.LOOPBACK_ONLY}), Machine(), monkeypatch)["network"]
    assert check.result is Result.WARN
    assert "PREVIEW_LOOPBACK_PORTS=" in check.advice


def test_loopback_ports_that_no_preview_can_reach_are_a_warning(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = found(changed(settings, loopback_ports=(5432,)), Machine(), monkeypatch)["network"]
    assert (check.result, "PREVIEW_LOOPBACK_PORTS (5432) has no effect" in check.found) == (Result.WARN, True)
    assert "PREVIEW_NETWORK=loopback-only" in check.advice


def test_limits_are_exact(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = found(changed(settings, memory_limit_mb=300, cpu_limit=0.5, max_processes=40), Machine(), monkeypatch)
    assert checks["memory"].found == "300 MB for all its processes, enforced by the kernel"
    assert checks["processor"].found.startswith("0.5 ")
    assert checks["processes"].found.startswith("40 ")


def test_what_nothing_holds_is_said_to_be_unlimited(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = found(settings, Machine("plain", frozenset()), monkeypatch)
    assert "monitored by the service" in checks["memory"].found
    assert {checks[name].result for name in ("processor", "processes")} == {Result.WARN}
    assert checks["processor"].found.startswith("not limited")


@pytest.mark.parametrize(
    ("own", "wanted", "newer", "is_advised", "is_told"),
    [
        ((3, 11), None, None, True, False),
        ((3, 11), None, "3.12.9", False, True),
        ((3, 12), None, None, False, False),
        ((3, 11), "3.13", "3.12.9", False, False),
    ],
)
def test_where_previews_share_more_memory_is_told_or_how_they_could(
    own: tuple[int, int],
    wanted: str | None,
    newer: str | None,
    is_advised: bool,
    is_told: bool,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def find_newer() -> Installed | None:
        return None if newer is None else Installed(PythonInterpreter("/python", newer, newer), frozenset())

    machine = Machine()
    monkeypatch.setattr(machine, "describe", lambda: {"starts": "Python previews are forked from templates"})
    monkeypatch.setattr(checked, "_OWN_PYTHON", own)
    monkeypatch.setattr(checked, "find_newer", find_newer)
    check = found(changed(settings, environment_python=wanted), machine, monkeypatch)["starts"]
    assert (check.result, "install one" in check.advice) == (Result.OK, is_advised)
    assert ("in Python 3.12.9 if" in check.found) is is_told


def test_it_only_looks_at_a_data_folder_in_use(settings: Settings) -> None:
    settings.data_dir.mkdir()
    descriptor = os.open(settings.data_dir / "previews.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        names = [check.name for check in isolation_checks(settings)]
    finally:
        os.close(descriptor)
    assert [name for name in names if name != "users"][:4] == ["plain", "sandbox", "control groups", "network"]
    assert [entry.name for entry in settings.data_dir.iterdir()] == ["previews.lock"]


def test_plain_by_wish_is_told_without_a_trial(settings: Settings) -> None:
    checks = {check.name: check for check in isolation_checks(changed(settings, isolation=Isolation.PLAIN))}
    assert checks["sandbox"].advice == "set PREVIEW_ISOLATION=auto"
    assert checks["network"].found.startswith("host")


def test_a_narrow_terminal_cuts_no_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    check = Check("sandbox", Result.WARN, "one two three four " * 6, "do this and that " * 6)
    lines = doctor._text(check, 8, colour=False).splitlines()
    assert max(map(len, lines)) <= 70
    assert lines[1].startswith(" " * 16 + "one") or lines[1].startswith(" " * 16)
    assert " ".join(" ".join(lines).split()).count("one two three four") == 6


def hidden(program: str) -> list[str]:
    """What shows this machine without a program of the system."""
    if shutil.which("bwrap") is None:
        pytest.skip("no bubblewrap to hide a program with")
    path = shutil.which(program, path="/usr/local/bin:/usr/bin:/bin")
    assert path is not None
    return ["bwrap", "--dev-bind", "/", "/", "--cap-add", "ALL", "--ro-bind", "/dev/null", path, "--"]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    folders = {"PREVIEW_DATA_DIR": str(tmp_path / "data"), "PREVIEW_CACHE_DIR": str(tmp_path / "cache")}
    return {**os.environ, **folders, **more}


# A command that a person gives for a project of their own, and a service's.
COMMANDS = [["run", "."], pytest.param(["serve", "--bind", "127.0.0.1:0"], marks=pytest.mark.long)]


@pytest.mark.parametrize(
    ("isolation", "is_well"), [pytest.param("trusted", True, marks=pytest.mark.long), ("auto", os.geteuid() != 0)]
)
def test_on_a_machine_without_bubblewrap_it_says_so(tmp_path: Path, isolation: str, is_well: bool) -> None:
    """A service that is root, and is not told that all code is trusted, does not start there."""
    done = subprocess.run(
        [*hidden("bwrap"), *PROGRAM, "doctor", "--json"],
        env=environment(tmp_path, PREVIEW_ISOLATION=isolation),
        capture_output=True,
        text=True,
        timeout=60,
    )
    report = json.loads(done.stdout)
    sandbox = next(check for check in report["checks"] if check["name"] == "sandbox")
    expected = (0, True, "warn") if is_well else (1, False, "fail")
    assert (done.returncode, report["ok"], sandbox["result"]) == expected
    why = "" if is_well else "; a service that runs as root needs it (PREVIEW_ISOLATION=auto)"
    assert sandbox["found"] == f"the program bwrap is not installed{why}"
    assert "bubblewrap" in sandbox["advice"]


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_where_isolation_is_required_and_missing_nothing_is_started(command: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*hidden("bwrap"), *PROGRAM, *command],
        env=environment(tmp_path, PREVIEW_ISOLATION="require"),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "no sandbox, because the program bwrap is not installed (to do: install" in done.stderr.splitlines()[-1]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's rights are at stake")
@pytest.mark.parametrize("command", COMMANDS)
def test_auto_gives_nobody_roots_rights(command: list[str], tmp_path: Path) -> None:
    """``run`` too, where somebody has asked for ``auto`` in so many words."""
    done = subprocess.run(
        [*hidden("bwrap"), *PROGRAM, *command],
        env=environment(tmp_path, PREVIEW_ISOLATION="auto"),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (2, "")
    last = done.stderr.splitlines()[-1]
    assert "runs as root" in last
    assert "the program bwrap is not installed. To fix that: install the packages bubblewrap" in last
    assert "PREVIEW_ISOLATION=trusted" in last


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root's rights are at stake")
def test_a_person_s_own_project_runs_as_root_and_its_first_line_says_so(tmp_path: Path) -> None:
    project = tmp_path / "own"
    project.mkdir()
    (project / "main.py").write_text("import os\nprint('user', os.getuid(), flush=True)\nraise SystemExit(3)\n")
    done = subprocess.run(
        [*hidden("bwrap"), *PROGRAM, "run", str(project), "--command", "python main.py"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr.splitlines()[0].startswith(
        "preview: this project runs with all rights of root: no sandbox, the "
    )
    assert "user 0" in done.stdout


def test_the_plain_runtime_is_described_as_it_is(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine("plain", PlainRuntime().holds())
    assert found(settings, machine, monkeypatch)["memory"].result is Result.OK


def test_the_doctor_says_what_code_of_packages_may_do(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = IsolationLevel("sandbox", holds=True, found="own namespaces")
    jailed = found(settings, Machine(), monkeypatch, sandbox)["builds"].found
    assert "in a sandbox that reaches only the package indexes" in jailed
    assert "all that the service's user may do" in found(settings, Machine(), monkeypatch, MISSING)["builds"].found
    denied = found(changed(settings, build_code="deny"), Machine(), monkeypatch, sandbox)["builds"].found
    assert denied.startswith("no package code runs")


@pytest.mark.parametrize(
    ("uid", "lack", "closed", "told"),
    [
        (1501, None, None, ("ok", "`preview serve` runs each preview as a separate user", "")),
        (
            1501,
            NoRange("newuidmap is missing", "install it"),
            None,
            ("ok", "your user: newuidmap is missing", "user, install it"),
        ),
        (1501, NoRange("no new privileges"), None, ("ok", "your user: no new privileges", "")),
        (0, None, None, None),
        (0, None, Path("/opt/a b"), ("warn", "cannot read /opt/a b", "`chmod -R go+rX '/opt/a b'`")),
    ],
)
def test_whose_user_previews_have_is_told(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    uid: int,
    lack: NoRange | None,
    closed: Path | None,
    told: tuple[str, str, str] | None,
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setattr(checked, "enter_scope", lambda: None)
    monkeypatch.setattr(checked, "try_range", lambda _settings: lack)
    monkeypatch.setattr(checked, "users_here", object)
    monkeypatch.setattr(checked, "closed_to_previews", lambda: closed)
    check = found(settings, Machine(), monkeypatch, SANDBOX).get("users")
    assert (check is None) == (told is None)
    if check is not None and told is not None:
        assert check.result == told[0]
        assert told[1] in check.found
        assert told[2] in check.advice


@pytest.mark.parametrize(("least", "result"), [("free=container", Result.FAIL), ("sandbox", Result.OK), ("", None)])
def test_the_least_level_of_each_tier_is_checked(least: str, result: Result | None) -> None:
    ladder = cast("IsolationSupport", SimpleNamespace(runtime=SimpleNamespace(name="sandbox"), further={}))
    found = list(_minimum(load_settings(isolation_minimum=least), ladder))
    assert [one.result for one in found] == ([] if result is None else [result])
    if result is Result.FAIL:
        assert "launches of free (container) are refused: this machine has only sandbox" in found[0].found
