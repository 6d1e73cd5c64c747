"""The client commands on macOS and Windows, as far as Linux can show it: see ``other_system``."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest
from cli_service import serving, write_project
from packaging.requirements import Requirement

from preview.cli.entry import COMMANDS

ROOT = Path(__file__).parents[2]
AS = Path(__file__).with_name("other_system.py")
SYSTEMS = ("darwin", "win32")
CLIENT = [
    name
    for name, entry in COMMANDS.items()
    if entry.panel in ("Work with a running service", "Data of a preview", "Understand a preview")
]
# Groups of commands have no options of their own.
FIRST_PART = {
    name: {"snapshot": "save", "rollout": "status"}.get(name, "ls")
    for name in (
        "snapshot",
        "alerts",
        "env",
        "versions",
        "launches",
        "tokens",
        "rollout",
        "templates",
        "nodes",
        "invite",
    )
}
OTHERS = [name for name in COMMANDS if name not in CLIENT]


def preview_on(system: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(AS), system, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_help_and_version_need_no_linux(system: str) -> None:
    shown = preview_on(system, "--help")
    assert shown.returncode == 0, shown.stderr
    assert all(name in shown.stdout for name in COMMANDS)
    assert preview_on(system, "--version").stdout.startswith("preview ")


Ask = Callable[..., dict[str, Any]]


@contextmanager
def program_on(system: str) -> Iterator[Ask]:
    """Run the program when asked to, each time in a process of its own that begins where all modules are loaded."""
    command = [sys.executable, str(AS), system, "--each"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        asked, told = program.stdin, program.stdout
        assert asked is not None
        assert told is not None

        def ask(*words: str, **variables: str) -> dict[str, Any]:
            print(json.dumps([variables, words]), file=asked, flush=True)
            assert select.select([told], [], [], 120)[0], words
            found: dict[str, Any] = json.loads(told.readline())
            return found

        try:
            yield ask
            asked.close()
            assert program.wait(60) == 0
        finally:
            program.kill()


@pytest.fixture(scope="module")
def programs() -> Iterator[dict[str, Ask]]:
    """The program on each of the systems: to load all modules takes some seconds of a core."""
    with ExitStack() as held:
        yield {system: held.enter_context(program_on(system)) for system in SYSTEMS}


@pytest.mark.long
def test_each_client_command_explains_itself(programs: dict[str, Ask]) -> None:
    # Here Windows lacks all that macOS lacks, and more.
    asked = [[name, *(part for part in (FIRST_PART.get(name),) if part), "--help"] for name in CLIENT]
    for words in asked:
        shown = programs["win32"](*words)
        assert shown["code"] == 0, (words, shown["err"])
        assert "--url" in shown["out"], words


@pytest.mark.long
def test_each_other_command_says_how_to_run_the_service_there(programs: dict[str, Ask]) -> None:
    for system, way in zip(SYSTEMS, ("a container or a Lima machine", "WSL 2 or a container"), strict=True):
        for name in OTHERS:
            done = programs[system](name, ".", "--port", "8000", "--json")
            assert done["code"] == 1
            assert done["err"] == (
                f"preview: `preview {name}` needs Linux: run the service in {way} (docs/other-systems.md), and set "
                "PREVIEW_URL and PREVIEW_TOKEN so that the client commands find it.\n"
            )


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A service on this machine, and the variables of a client that does not see its data folder."""
    folder = tmp_path_factory.mktemp("service")
    own = {"PREVIEW_DATA_DIR": str(folder / "data"), "PREVIEW_CACHE_DIR": str(folder / "cache")}
    with serving(own) as started:
        token = subprocess.run(
            [sys.executable, "-c", "from preview.cli import main; main()", "token", "ann"],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        yield {"PREVIEW_URL": started.url, "PREVIEW_TOKEN": token, "PREVIEW_DATA_DIR": str(folder / "client")}


@pytest.mark.long
@pytest.mark.parametrize(
    "system", [one if one == "win32" else pytest.param(one, marks=pytest.mark.long) for one in SYSTEMS]
)
def test_the_client_commands_work_from_there(
    system: str, programs: dict[str, Ask], service: dict[str, str], tmp_path: Path
) -> None:
    def ask(*arguments: str) -> str:
        done = programs[system](*arguments, **service)
        assert done["code"] == 0, (arguments, done["err"])
        return str(done["out"])

    project = write_project(tmp_path / "shop")
    generation = ask("push", str(project)).strip()
    ask("launch", generation, "--wait", "60")
    assert generation in ask("ls")
    assert json.loads(ask("request", generation, "GET", "/health")) == {"status": "ok"}
    assert "hello from the app" in ask("logs", generation)
    (project / "main.py").write_text((project / "main.py").read_text() + "# changed\n")
    assert "changed main.py: reloaded" in ask("sync", generation, str(project))
    assert "http" in ask("share", generation)
    ask("restart", generation, "--wait", "60")
    ask("stop", generation)


@pytest.mark.long
def test_the_wheel_is_for_all_systems_and_asks_linux_alone_for_linux_packages(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uv", "build", "--wheel", "--offline", "--out-dir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        pytest.skip(f"the build backend cannot be had offline: {done.stderr.splitlines()[-1]}")
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        fields = HeaderParser().parsestr(archive.read(metadata).decode())
    needed = {one.name: one.marker for one in map(Requirement, fields.get_all("Requires-Dist", []))}
    assert needed["pyseccomp"] is not None
    for system in SYSTEMS:
        assert not needed["pyseccomp"].evaluate({"sys_platform": system})
