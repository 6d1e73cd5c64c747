"""``preview.toml`` and the launch request: what they decide, and what is said of mistakes."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest
from detection_kit import FASTAPI, FLASK, plan_of, write

from preview.detection import (
    Origin,
    Overrides,
    Server,
    Variable,
    detect,
    merge,
    overrides_from_request,
    read_preview_file,
)
from preview.detection.plain import LISTED
from preview.endpoints import NODE_NAMES
from preview.errors import InvalidGeneration, InvalidRequest

TWO = {"main.py": FASTAPI, "other/site.py": FLASK, "requirements.txt": ""}


def said_of(values: dict[str, object]) -> str:
    with pytest.raises(InvalidRequest) as caught:
        overrides_from_request(values)
    return caught.value.message


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"start": {"ap": "x"}}, 'The launch request: there is no key "start.ap"; did you mean "app"?'),
        ({"strat": {}}, 'The launch request: there is no key "strat"; did you mean "start"?'),
        ({"start": {"factory": "yes"}}, "The launch request: \"start.factory\" must be true or false, not 'yes'."),
        ({"start": 5}, 'The launch request: "start" must be a table, not 5.'),
        ({"start": {"python_path": "src"}}, "The launch request: \"start.python_path\" must be a list, not 'src'."),
        ({"env": {"A": [1]}}, 'The launch request: "env.A" must be a string, not [1].'),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_key(values: dict[str, object], sentence: str) -> None:
    assert said_of(values) == sentence


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"start": {"directory": "../x"}}, "start.directory"),
        ({"start": {"manifests": "/etc"}}, "start.manifests"),
        ({"start": {"app": "a b"}}, "start.app"),
        ({"start": {"command": ""}}, "start.command"),
        ({"start": {"command": "a 'b"}}, "start.command"),
        ({"start": {"health": "health"}}, "start.health"),
        ({"start": {"framework": "rails"}}, "start.framework"),
        ({"start": {"steps": [{"run": "x", "nme": "y"}]}}, "start.steps.0.nme"),
        ({"env": {"A-B": "x"}}, "env.A-B"),
        ({"env": {"A": "x\0"}}, "env.A"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_by_key(values: dict[str, object], key: str) -> None:
    assert f'"{key}"' in said_of(values)


def test_a_file_with_a_mistake_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"preview.toml": "[start]\napps = 'x'\n"})
    with pytest.raises(InvalidGeneration, match=r"^preview\.toml: there is no key") as caught:
        read_preview_file(tmp_path)
    assert caught.value.details["path"] == "preview.toml"


def test_a_file_that_is_no_toml_says_where(tmp_path: Path) -> None:
    write(tmp_path, {"preview.toml": "[start\n"})
    with pytest.raises(InvalidGeneration, match=r"not valid TOML.*line 1"):
        read_preview_file(tmp_path)


def test_a_file_of_bytes_that_are_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "preview.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidGeneration, match="not valid TOML"):
        read_preview_file(tmp_path)


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"preview.toml": "#" * 70_000})
    with pytest.raises(InvalidGeneration, match="larger than 64 KiB"):
        read_preview_file(tmp_path)


def test_a_link_is_no_preview_file(tmp_path: Path) -> None:
    (tmp_path / "preview.toml").symlink_to("/etc/passwd")
    assert read_preview_file(tmp_path).is_empty


def test_numbers_and_truth_values_become_text() -> None:
    given = overrides_from_request({"env": {"A": 5, "B": True, "C": 1.5}})
    assert {name: one.value for name, one in given.variables.items()} == {"A": "5", "B": "true", "C": "1.5"}
    assert given.variables["A"].origin is Origin.REQUEST


def test_the_request_wins_over_the_file(tmp_path: Path) -> None:
    files = TWO | {"preview.toml": '[start]\nhealth = "/a"\n[env]\nA = "file"\nB = "file"\n'}
    plan = plan_of(tmp_path, files, overrides_from_request({"start": {"health": "/b"}, "env": {"A": "asked"}}))
    assert plan.health_path == "/b"
    assert {name: plan.variables[name].value for name in "AB"} == {"A": "asked", "B": "file"}


def test_a_command_of_the_request_replaces_the_files_application() -> None:
    lower, upper = Overrides(app="main:app"), Overrides(command=("python", "x.py"))
    assert merge(lower, upper).app is None
    assert merge(upper, lower).command is None


def test_another_application_can_be_named(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, TWO | {"preview.toml": '[start]\napp = "other.site:app"\n'})
    assert (str(plan.target), plan.server) == ("other.site:app", Server.WSGI)


def test_of_several_applications_one_of_a_framework_can_be_asked_for(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, TWO | {"preview.toml": '[start]\nframework = "flask"\n'})
    assert plan.framework == "flask"


def test_a_framework_that_starts_like_many_others_can_be_asked_for(tmp_path: Path) -> None:
    quart = "from quart import Quart\nsite = Quart(__name__)\n@site.get('/q')\nasync def q(): ...\n"
    plan = plan_of(tmp_path, TWO | {"site.py": quart, "preview.toml": '[start]\nframework = "quart"\n'})
    assert (plan.framework, plan.server, str(plan.target)) == ("quart", Server.ASGI, "site:site")


def test_every_framework_that_detection_knows_can_be_asked_for() -> None:
    for name in (*NODE_NAMES, *LISTED, "fastapi", "starlette", "flask", "django", "node", "command"):
        assert overrides_from_request({"start": {"framework": name}}).framework == name
    assert 'did you mean "litestar"?' in said_of({"start": {"framework": "litestarr"}})


def test_an_application_that_no_reader_finds_is_served_as_named(tmp_path: Path) -> None:
    files = {"pkg/web.py": "from fastapi import FastAPI\ndef make(): ...\n"}
    plan = plan_of(tmp_path, files, overrides_from_request({"start": {"app": "pkg.web:make()"}}))
    assert plan.target is not None
    assert (plan.target.module, plan.target.attribute, plan.target.factory) == ("pkg.web", "make", True)


def test_an_application_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidGeneration, match='no module "nope"'):
        plan_of(tmp_path, TWO, overrides_from_request({"start": {"app": "nope:app"}}))


def test_a_command_runs_by_itself(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, TWO, overrides_from_request({"start": {"command": "python -m http.server $PORT"}}))
    assert (plan.server, plan.command) == (Server.COMMAND, ("python", "-m", "http.server", "$PORT"))


@pytest.mark.parametrize("command", [("flask", "run"), ("python", "-m", "flask", "run")])
def test_a_given_flask_run_gets_the_application_that_was_found(tmp_path: Path, command: tuple[str, ...]) -> None:
    factory = "from flask import Flask\ndef create_app():\n    return Flask(__name__)\n"
    files = {"svc/__init__.py": factory}
    assert plan_of(tmp_path, files, Overrides(command=command)).variables["FLASK_APP"].value == "svc:create_app()"
    assert "FLASK_APP" not in plan_of(tmp_path, files, Overrides(command=("python", "run.py"))).variables


def test_a_command_is_enough_for_a_project_that_nothing_is_known_of(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"README": ""}, overrides_from_request({"start": {"command": ["bin/serve"]}}))
    assert (plan.framework, plan.command, plan.target) == ("command", ("bin/serve",), None)


def test_steps_are_replaced_and_left_out(tmp_path: Path) -> None:
    toml = '[start]\nsteps = ["python seed.py", {run = "make x", name = "x", required = false}]\nskip_steps = ["x"]\n'
    plan = plan_of(tmp_path, TWO | {"preview.toml": toml})
    assert [(step.argv, step.required) for step in plan.steps] == [(("python", "seed.py"), True)]


def test_a_given_variable_replaces_the_decided_one_in_any_case_of_letters(tmp_path: Path) -> None:
    settings = "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n    secret_key: str\n"
    plan = plan_of(tmp_path, {"main.py": FASTAPI + settings}, overrides_from_request({"env": {"secret_key": "x"}}))
    assert list(plan.variables) == ["secret_key"]


def test_requirements_folders_and_paths_can_be_given(tmp_path: Path) -> None:
    toml = (
        '[start]\ndirectory = "other"\npython_path = ["lib"]\nmanifests = "other"\n[requirements]\nextra = ["redis"]\n'
    )
    plan = plan_of(tmp_path, TWO | {"preview.toml": toml})
    assert (plan.directory, plan.manifests, plan.extra_requirements) == ("other", "other", ("redis",))
    assert "lib" in plan.python_path
    assert any(sentence.startswith("given: ") for sentence in plan.decisions)


def test_lists_in_lists_without_an_end_are_no_valid_file(tmp_path: Path) -> None:
    write(tmp_path, {"preview.toml": "a = " + "[" * 20_000})
    with pytest.raises(InvalidGeneration, match=r"preview\.toml is not valid TOML"):
        read_preview_file(tmp_path)


@pytest.mark.parametrize(
    "start", [{"command": ["x", "a\0b"]}, {"command": [""]}, {"directory": "x\0"}, {"steps": ["a\0"]}]
)
def test_what_no_program_can_be_given_is_refused(start: dict[str, object]) -> None:
    assert "The launch request: " in said_of({"start": start})


@pytest.mark.parametrize("app", ["/etc/x.js", "../../etc/x.js", "a/../../x.py:app", "--eval"])
def test_an_application_outside_the_project_is_refused(app: str) -> None:
    assert 'The launch request: "start.app": ' in said_of({"start": {"app": app}})


@pytest.mark.parametrize(
    "values",
    [
        {"start": {"steps": ["a"] * 100_000}},
        {"start": {"command": "a " * 30_000}},
        {"start": {"python_path": ["a/b"] * 2_000}},
        {"start": {"x" * 500_000: 1}},
        {"start": {"framework": [[[["fastapi" * 70_000]]]]}},
        {"env": {f"A{number}": "" for number in range(100_000)}},
        {"wrong" * 100_000: {}},
    ],
)
def test_large_tables_are_refused_before_they_are_read(values: dict[str, object]) -> None:
    # Splitting the first one into words would take the service two seconds.
    began = process_time()
    assert "KiB" in said_of(values)
    assert process_time() - began < 0.05


def test_tables_of_an_ordinary_size_are_read() -> None:
    values = {"start": {"steps": ["python manage.py migrate"] * 50}, "env": {f"A{n}": "x" * 300 for n in range(200)}}
    read = overrides_from_request(values)
    assert (len(read.steps or ()), len(read.variables)) == (50, 200)


def test_tracing_is_off_unless_it_is_asked_for_and_opentelemetry_is_found_in_a_manifest(tmp_path: Path) -> None:
    on, off = (overrides_from_request({"start": {"trace": one}}) for one in (True, False))
    write(tmp_path, {"main.py": FASTAPI, "requirements.txt": "fastapi\nopentelemetry-sdk\n"})
    found = [
        (plan.trace, plan.exports_spans) for plan in (detect(tmp_path), detect(tmp_path, on), detect(tmp_path, off))
    ]
    assert found == [(False, False), (True, True), (False, False)]
    write(tmp_path, {"requirements.txt": "fastapi\n", "preview.toml": "[start]\ntrace = true\n"})
    assert (detect(tmp_path).trace, detect(tmp_path).exports_spans) == (True, False)
    assert not detect(tmp_path, off).trace


def test_a_value_that_an_attempt_made_up_gives_way_to_one_that_comes_later(tmp_path: Path) -> None:
    made = Variable("SHOP_KEY", "made", Origin.MADE_UP, instead_of="old")
    mended = Overrides(variables={"SHOP_KEY": made}, added_path=("lib",))
    main = FASTAPI + "\nimport os\nKEY = os.environ['SHOP_KEY']\n"
    write(tmp_path, {"main.py": main, "requirements.txt": "fastapi\n"})
    plan = detect(tmp_path, mended)
    assert (plan.variables["SHOP_KEY"].value, plan.python_path[-1]) == ("made", "lib")
    write(tmp_path, {".env": "SHOP_KEY=old\n"})
    assert detect(tmp_path, mended).variables["SHOP_KEY"].value == "made"
    write(tmp_path, {".env": "SHOP_KEY=new\n"})
    assert detect(tmp_path, mended).variables["SHOP_KEY"].value == "new"
    write(tmp_path, {"preview.toml": "[start]\npython_path = ['src']\n[env]\nshop_key = 'old'\n"})
    plan = detect(tmp_path, mended)
    assert {name.upper(): one.value for name, one in plan.variables.items()}["SHOP_KEY"] == "old"
    assert plan.python_path[-2:] == ("src", "lib")
