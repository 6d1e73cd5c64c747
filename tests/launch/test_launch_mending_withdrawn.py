"""Values that the sources can do without are withdrawn from a start that fails with them."""

from __future__ import annotations

import pytest

from preview.detection import Origin, Server, StartPlan, Toolchain, Variable
from preview.supervisor.mending import FailedStart, find_mend
from preview.supervisor.mending.refusals import mend_all_dispensable

WHERE = "app/settings.py:3"
ERROR = "ValueError: the key has the wrong form"


def withdrawn(*lines: str, values: dict[str, tuple[str, Origin]], dispensable: set[str] | None = None) -> list[str]:
    variables = {name: Variable(name, value, origin, WHERE) for name, (value, origin) in values.items()}
    names = frozenset(values if dispensable is None else dispensable)
    plan = StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, None, variables=variables, dispensable=names)
    failed = FailedStart(lines, plan, frozenset({"app"}), "/data/p/project")
    mend = find_mend(failed) or mend_all_dispensable(failed)
    return [] if mend is None else list(mend.withdrawn)


def test_all_values_that_are_made_up_for_what_may_be_absent_are_withdrawn() -> None:
    values = {
        "MAIL_API_KEY": ("preview", Origin.MADE_UP),
        "SITE_THEME": ("blue", Origin.EXAMPLE),
        "GIVEN_KEY": ("mine", Origin.REQUEST),
        "NEEDED_KEY": ("preview", Origin.MADE_UP),
        "JWT_SECRET": ("preview", Origin.MADE_UP),
    }
    found = withdrawn(ERROR, values=values, dispensable=values.keys() - {"NEEDED_KEY"})
    assert found == ["MAIL_API_KEY", "SITE_THEME"]


@pytest.mark.parametrize(
    "said",
    [
        "ValueError: SITE_SCHEMA is no schema",
        "ValueError: site_schema is no schema",
        "ValueError: no such schema: preview_one",
    ],
)
def test_a_value_that_the_error_names_is_withdrawn_alone(said: str) -> None:
    values = {"MAIL_API_KEY": ("preview", Origin.MADE_UP), "SITE_SCHEMA": ("preview_one", Origin.SUPPLIED)}
    assert withdrawn(said, values=values) == ["SITE_SCHEMA"]


def test_a_server_that_no_one_needs_is_found_by_its_port() -> None:
    values = {
        "REDIS_URL": ("redis://localhost:6379", Origin.MADE_UP),
        "CACHE_URL": ("redis://localhost:637/0", Origin.MADE_UP),
    }
    refused = "Error: connect ECONNREFUSED 127.0.0.1:6379"
    assert withdrawn(refused, values=values) == ["REDIS_URL"]


@pytest.mark.parametrize(
    "line",
    ["ModuleNotFoundError: No module named 'shop'", "SyntaxError: invalid syntax", "Started.", ""],
)
def test_other_failures_withdraw_nothing(line: str) -> None:
    assert withdrawn(line, values={"SITE_THEME": ("blue", Origin.EXAMPLE)}) == []


@pytest.mark.parametrize(
    ("name", "said", "is_named"),
    [
        ("HOST", "OperationalError: could not translate host name", False),
        ("HOST", "OperationalError: HOST is no address", True),
        ("MAIL_HOST", "OperationalError: mail_host is no address", True),
        ("MAIL_HOST", "OperationalError: smtp_mail_host is no address", False),
        # The project's sources spell it: `os.getenv("A(")`.
        ("A(", "OperationalError: A is wrong", False),
    ],
)
def test_a_word_of_any_error_names_no_variable(name: str, said: str, is_named: bool) -> None:
    assert withdrawn(said, values={name: ("preview", Origin.MADE_UP)}) == ([name] if is_named else [])
