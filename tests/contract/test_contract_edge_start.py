"""What says how to start and how to serve: files, requests, the environment. Understood, or refused in a sentence."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from contract_cases import bounded
from contract_checks import MAX_SENTENCE_CHARS, sentence_problem
from contract_edges import JSON, NASTY, TEXT, attempt
from hypothesis import given
from hypothesis import strategies as st

from preview.cli.overrides import overrides_from_options
from preview.detection import Overrides, overrides_from_request
from preview.detection.overrides.preview_file import PREVIEW_FILE, read_preview_file
from preview.errors import ConfigurationError
from preview.http.core.bodies import PlanLaunchBody, V1LaunchBody
from preview.settings import Settings, load_settings

KEYS = [
    "framework", "app", "factory", "directory", "command", "server", "health", "manifests", "python_path", "steps",
    "skip_steps", "network",
]  # fmt: skip
STEP = st.dictionaries(st.sampled_from(["run", "name", "directory", "required"]) | TEXT, TEXT | JSON, max_size=4)
VALUES = st.one_of(
    TEXT,
    JSON,
    st.sampled_from(["main:app", "../x:app", "/abs", "python 'x", "uvicorn main:app", [], [""], ["\0"], "fastapi"]),
    STEP,
    st.lists(STEP | TEXT, max_size=3),
)
STARTS = st.dictionaries(st.sampled_from(KEYS) | TEXT, VALUES, max_size=3)
ENVS = st.dictionaries(st.sampled_from(["DEBUG", "A=B", "1A", "PATH", "LD_PRELOAD"]) | TEXT, VALUES, max_size=3)


def assert_fit(found: Overrides | None) -> None:
    """What was taken stays inside the project and can be handed to a process."""
    if found is None:
        return
    for folder in (found.directory, found.manifests, *(found.python_path or ())):
        assert folder is None or (not folder.startswith("/") and ".." not in folder.split("/") and "\0" not in folder)
    for word in found.command or ():
        assert "\0" not in word
    for name, variable in found.variables.items():
        assert name.isascii()
        assert "\0" not in (variable.value or "") + name
        os.fsencode(name)
        (variable.value or "").encode()


@bounded(100)
@given(start=STARTS | JSON, env=ENVS | JSON, requirements=st.dictionaries(st.just("extra"), VALUES) | JSON)
def test_any_launch_request_is_understood_or_refused(start: Any, env: Any, requirements: Any) -> None:
    assert_fit(attempt(overrides_from_request, {"start": start, "env": env, "requirements": requirements}))


TOML = st.lists(
    st.sampled_from(
        [
            *(f"{key} = " for key in KEYS),
            "[start]\n",
            "[env]\n",
            "[[start.steps]]\n",
            "run = ",
            "x = ",
            "A = ",
            '"\\u0000"',
        ]
    )
    | st.sampled_from(
        ["1\n", "true\n", '"main:app"\n', "[", "]\n", '"', "'''", "{", "}", "1979-05-27\n", "nan\n", "9" * 5000]
    )
    | TEXT,
    max_size=12,
).map("".join)


@bounded(100)
@given(
    TOML.map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.binary(max_size=200)
    | st.just(b"a=" + b"[" * 60_000)
)
def test_any_preview_toml_is_understood_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / PREVIEW_FILE).write_bytes(content)
        assert_fit(attempt(read_preview_file, Path(folder)))


@bounded(100)
@given(app=st.none() | TEXT, command=st.none() | TEXT, env=st.lists(TEXT | st.just("A=b"), max_size=3))
def test_any_options_of_a_launch_are_understood_or_refused(
    app: str | None, command: str | None, env: list[str]
) -> None:
    assert_fit(attempt(overrides_from_options, app, command, env))


@pytest.mark.parametrize("model", [PlanLaunchBody, V1LaunchBody])
def test_the_launch_bodies_hand_on_what_these_tests_try(model: type[Any]) -> None:
    assert {"start", "env"} <= set(model.model_fields)


VARIABLES = [f"PREVIEW_{name.upper()}" for name in Settings.model_fields] + [
    str(field.validation_alias.choices[0])  # type: ignore[union-attr]  # each alias of ours is a choice of one
    for field in Settings.model_fields.values()
    if field.validation_alias is not None
]
# What an environment can hold at all.
PLAIN = (
    TEXT | st.sampled_from(["1", "0", "-1", "1e400", "inf", "nan", "9" * 5000, "/x", "~", "[]", "{", "RS256", "a,b"])
).map(lambda text: text.replace("\0", "").encode("utf-8", "replace").decode())


@bounded(100)
@given(
    st.dictionaries(
        st.sampled_from(VARIABLES), PLAIN | NASTY.filter(lambda one: "\0" not in one and one.isascii()), max_size=3
    )
)
def test_any_environment_is_settings_or_refused_with_a_sentence_for_each_wrong_value(values: dict[str, str]) -> None:
    with mock.patch.dict(os.environ, values):
        try:
            load_settings()
        except ConfigurationError as error:
            refusal = error
        else:
            return
    problems = refusal.details["problems"]
    assert isinstance(problems, list)
    assert 0 < len(problems) <= len(values) + 1
    for problem in problems:
        assert sentence_problem(problem) is None, (len(problem), MAX_SENTENCE_CHARS, problem)
