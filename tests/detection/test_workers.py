"""Workers that a Procfile names."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.detection import StartPlan, detect


def plan_of(folder: Path, procfile: str, where: str = ".") -> StartPlan:
    (folder / where).mkdir(exist_ok=True)
    (folder / "main.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    (folder / "requirements.txt").write_text("fastapi\ncelery\n")
    (folder / where / "Procfile").write_text(procfile)
    return detect(folder)


@pytest.mark.parametrize(
    ("line", "argv", "directory", "variables"),
    [
        ("worker: celery -A tasks worker -l info", "celery -A tasks worker -l info --concurrency=1", ".", None),
        ("worker: python -m celery -A t worker -c 4", "python -m celery -A t worker -c 4", ".", None),
        ("beat: celery -A tasks beat", "celery -A tasks beat", ".", None),
        ("celery_worker: QUEUE=q exec rq worker high", "rq worker high", ".", {"QUEUE": "q"}),
        ("worker: cd jobs && python run.py", "python run.py", "jobs", None),
        ("worker: python 'a b.py'\r", "python|a b.py", ".", None),
    ],
)
def test_a_worker_is_a_plain_command(
    tmp_path: Path, line: str, argv: str, directory: str, variables: dict[str, str] | None
) -> None:
    plan = plan_of(tmp_path, f"web: uvicorn main:app\nrelease: python m.py\n{line}\n")
    (worker,) = plan.workers
    assert worker.argv == tuple(argv.split("|") if "|" in argv else argv.split())
    assert (worker.directory, worker.variables) == (directory, variables)
    assert any("runs beside the application" in one for one in plan.decisions)


@pytest.mark.parametrize(
    "line",
    [
        "worker: celery -A t worker | tee log",
        "worker: celery -A t worker -n $NAME",
        "worker: cd ../x && python a.py",
        "worker: cd / && python a.py",
        "worker: python 'a.py",
        "worker: A=1",
    ],
)
def test_a_worker_that_needs_a_shell_is_named(tmp_path: Path, line: str) -> None:
    plan = plan_of(tmp_path, line)
    assert plan.workers == ()
    assert any("is not started" in one for one in plan.warnings)


def test_other_lines_are_no_workers_and_their_number_is_bounded(tmp_path: Path) -> None:
    assert plan_of(tmp_path, "web: uvicorn main:app\nrelease: alembic upgrade head\n# worker: x\n").workers == ()
    plan = plan_of(tmp_path, "".join(f"worker{number}: python {number}.py\n" for number in range(1000)))
    assert len(plan.workers) == 2
    assert len(plan.warnings) < 10
