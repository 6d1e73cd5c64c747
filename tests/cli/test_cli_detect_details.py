"""``preview detect``: each part of a plan as it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.cli.commands import detect as detect_module
from preview.cli.entry import run
from preview.detection import Origin, Server, ServiceKind, ServiceNeed, StartPlan, Step, Toolchain, Variable

BARE = StartPlan("command", Toolchain.PYTHON, Server.COMMAND, None)
FULL = StartPlan(
    "django",
    Toolchain.PYTHON,
    Server.COMMAND,
    None,
    directory="backend",
    python_path=("backend", "lib"),
    manifests="deploy",
    extra_requirements=("waitress", "six>=1"),
    steps=(
        Step("migrate", ("python", "manage.py", "migrate"), "backend", "it has migrations"),
        Step("seed", ("python", "seed.py"), ".", "it has a seed"),
    ),
    variables={
        "EMPTY": Variable("EMPTY", "", Origin.EXAMPLE),
        "KEY": Variable("KEY", "hidden", Origin.MADE_UP, "main.py:5", secret=True),
    },
    services=(
        ServiceNeed(ServiceKind.REDIS, "REDIS_URL", "main.py:3", at_startup=True, address=("cache", 6379)),
        ServiceNeed(ServiceKind.MONGODB, None, "main.py:9"),
    ),
    warnings=("look here",),
)


def shown(plan: StartPlan, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What is printed, each run of blanks as one."""
    monkeypatch.setattr(detect_module, "detect", lambda *_, **__: plan)
    assert run(["detect", str(folder)]) == 0
    return "\n".join(" ".join(line.split()) for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "starts no known application (django, run as a command, which listens on PORT)",
        "runs in backend",
        "imports from backend, lib",
        "requirements of deploy",
        "added waitress, six>=1",
        "steps before the start migrate: python manage.py migrate in backend, it has migrations",
        "seed: python seed.py, it has a seed",
        "variables EMPTY (empty) (example file)",
        "KEY (not shown) (made up, main.py:5)",
        "needs Redis at cache:6379 (REDIS_URL, main.py:3), required at startup",
        "MongoDB (main.py:9), required at first use",
        "healthy when it responds (with any status)",
        "! look here",
    ],
)
def test_each_part_of_a_plan_has_its_line(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert line in shown(FULL, tmp_path, monkeypatch, capsys).splitlines()


def test_what_a_plan_does_not_have_has_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert [line.split()[0] for line in shown(BARE, tmp_path, monkeypatch, capsys).splitlines() if line] == [
        "starts",
        "runs",
        "healthy",
    ]
