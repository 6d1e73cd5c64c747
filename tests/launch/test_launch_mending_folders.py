"""Folders that variables of a failed start name."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from preview.detection import Origin, Server, StartPlan, Toolchain, Variable
from preview.supervisor.mending import FailedStart, find_mend

ROOT = "/data/previews/p/project"


def plan_of(name: str, value: str, origin: Origin, folder: str = ".") -> StartPlan:
    variables = {name: Variable(name, value, origin, ".env.example")}
    return StartPlan("fastify", Toolchain.NODE, Server.NODE, None, directory=folder, variables=variables)


def failed_start(plan: StartPlan, lines: Sequence[str], names: frozenset[str] = frozenset()) -> FailedStart:
    return FailedStart(lines, plan, frozenset(), ROOT, names=names)


def said_of(name: str) -> list[str]:
    return [f"  {name}: {{ _errors: [ 'The folder is not valid.' ] }},", "Error: Invalid environment variables."]


@pytest.mark.parametrize(
    ("name", "value", "folder", "made"),
    [
        ("UPLOADS_PUBLIC_PATH", "full-path/public", ".", "full-path/public"),
        ("UPLOAD_DIR", "/path/to/uploads/", ".", "uploads"),
        ("LOGS_FOLDER", "./logs", "api", "api/logs"),
    ],
)
def test_a_variable_whose_folder_is_refused_gets_one_in_the_project(
    name: str, value: str, folder: str, made: str
) -> None:
    mend = find_mend(failed_start(plan_of(name, value, Origin.EXAMPLE, folder), said_of(name)))
    assert mend is not None
    assert mend.folders == (made,)
    assert {one.name: one.value for one in mend.variables.values()} == {name: f"{{directory}}/{made}"}


@pytest.mark.parametrize(
    ("name", "value", "origin"),
    [
        ("UPLOAD_DIR", "/path/to/uploads", Origin.REQUEST),
        ("UPLOAD_DIR", "../../uploads", Origin.EXAMPLE),
        ("UPLOAD_DIR", "https://cdn.example.com", Origin.EXAMPLE),
        ("KEY_FOLDER", "keys/private.pem", Origin.EXAMPLE),
        ("UPLOAD_DIR", "Makefile", Origin.EXAMPLE),
        ("BASE_PATH", "/api", Origin.EXAMPLE),
    ],
)
def test_no_other_value_becomes_a_folder(name: str, value: str, origin: Origin) -> None:
    start = failed_start(plan_of(name, value, origin), said_of(name), frozenset({"Makefile"}))
    mend = find_mend(start)
    assert mend is None or not mend.folders


def test_a_folder_is_not_the_cause_of_another_failure() -> None:
    plan = plan_of("UPLOAD_DIR", "uploads", Origin.EXAMPLE)
    lines = ["UPLOAD_DIR: uploads", "Error: connect ECONNREFUSED 127.0.0.1:9000"]
    assert find_mend(failed_start(plan, lines)) is None


@pytest.mark.parametrize("is_cause", [True, False])
def test_the_cause_of_an_error_names_the_folder(*, is_cause: bool) -> None:
    said = "direct cause of the following exception" if is_cause else "same as the one before"
    lines = [
        "Traceback (most recent call last):",
        f"FileNotFoundError: [Errno 2] No such file or directory: '{ROOT}/logs/shop.log'",
        "",
        f"The above exception was the {said}:",
        "",
        "Traceback (most recent call last):",
        "ValueError: Unable to configure handler 'file'",
    ]
    plan = StartPlan("django", Toolchain.PYTHON, Server.DJANGO, None)
    mend = find_mend(failed_start(plan, lines))
    assert (mend.folders if mend is not None else ()) == (("logs",) if is_cause else ())
