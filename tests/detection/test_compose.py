"""Projects that start by a compose file or a development container: the service, its databases, its variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from preview.detection import Overrides, ServiceKind, StartPlan, detect
from preview.environments.images.built import read_built, with_source
from preview.errors import InvalidGeneration
from preview.sources.image_source import DONE, HEALTHY
from preview.sources.yaml_values import UnreadableYaml, read_yaml
from preview.worker import checks
from preview.worker.analysis import Analysis

KINDS = frozenset({ServiceKind.POSTGRESQL, ServiceKind.REDIS})
COMPOSE = """\
x-common: &common
  restart: always
  environment: &variables
    MODE: ${MODE:-fast}
    PASSWORD: "${DB_PASSWORD}$$"
services:
  orders-db:
    image: docker.io/library/postgres:16-alpine
    environment: {POSTGRES_PASSWORD: x}
    networks: {default: {aliases: [main-db]}}
  cache-store: {image: "redis:7"}
  worker:
    <<: *common
    build: ./api
    depends_on: [orders-db]
  debug: {image: "redis:7", profiles: [debug]}
  front:
    build: {context: front}
    ports: ["3000:3000"]
    depends_on: [api]
  api:
    <<: *common
    build:
      context: ./api
      dockerfile: docker/Dockerfile
      target: final
      args: {VERSION: "1.${MINOR:-2}"}
    command: serve --port 8080 "two words"
    working_dir: /srv
    env_file: [api.env, {path: ../outside.env, required: false}]
    environment:
      <<: *variables
      DATABASE_URL: postgres://u:p@orders-db:5432/orders
      FROM_OUTSIDE:
    ports:
      - "127.0.0.1:80:8080/tcp"
      - target: 9000
        protocol: tcp
    depends_on:
      orders-db: {condition: service_healthy}
      cache-store: {condition: service_started}
    healthcheck: {test: ["CMD", "curl", "-f", "http://localhost:8080/health"]}
    volumes: ["./api:/srv", "data:/data", "/srv/node_modules"]
volumes: {data: {}}
"""


def compose(folder: Path, text: str = COMPOSE, name: str = "compose.yaml", **values: object) -> StartPlan:
    files = {"api/docker/Dockerfile": "FROM x AS final\n", "front/Dockerfile": "FROM x\n", "go.mod": "module x\n"}
    for path, content in {**files, "api/api.env": "NO=1\n", "api.env": "EXTRA='from file' \n", name: text}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content)
    (folder / ".env").write_text("DB_PASSWORD=secret1 # said\n")
    return detect(folder, Overrides(**values), supplied=KINDS)  # type: ignore[arg-type]


def test_the_service_with_build_and_ports_is_started_and_databases_are_the_preview_s(tmp_path: Path) -> None:
    plan = compose(tmp_path)
    assert plan.image is not None
    assert (
        "the project starts by its service api: it has build and ports, and needs no service but" in plan.decisions[0]
    )
    assert (plan.image.dockerfile, plan.image.context, plan.image.target) == ("api/docker/Dockerfile", "api", "final")
    assert (plan.image.arguments, plan.image.port, plan.image.directory) == ({"VERSION": "1.2"}, 8080, "/srv")
    assert plan.image.command == ("serve", "--port", "8080", "two words")
    assert plan.image.volumes == ("/data",)
    assert plan.image.hosts == ("orders-db", "main-db", "cache-store")
    assert plan.health_path == "/health"
    assert {name: one.value for name, one in plan.variables.items()} == {
        "EXTRA": "from file",
        "MODE": "fast",
        "PASSWORD": "secret1$",
        "DATABASE_URL": "postgres://u:p@orders-db:5432/orders",
    }
    assert plan.variables["PASSWORD"].secret
    assert [(one.kind, one.supplied) for one in plan.services] == [
        (ServiceKind.POSTGRESQL, True),
        (ServiceKind.REDIS, True),
    ]
    assert [one.name for one in plan.image.beside] == ["worker", "front"]
    assert "beside it, in a private network: worker, front" in plan.decisions[1]
    [worker, front] = plan.image.beside
    assert (worker.source.dockerfile, worker.environment["MODE"], worker.names) == (
        "api/Dockerfile",
        "fast",
        ("worker",),
    )
    assert worker.source.hosts == ("orders-db", "main-db", "cache-store")
    assert front.source.context == "front"
    assert any("'./api' of api is not mounted" in one for one in plan.warnings), plan.warnings


def test_the_service_may_be_named_and_a_dockerfile_is_what_remains(tmp_path: Path) -> None:
    plan = compose(tmp_path, dockerfile="compose.yaml#front")
    assert plan.image is not None
    assert (plan.image.context, plan.image.port, plan.image.command) == ("front", 3000, None)
    with pytest.raises(InvalidGeneration, match="it has no service none with build"):
        compose(tmp_path, dockerfile="compose.yaml#none")
    (tmp_path / "Dockerfile").write_text("FROM x\n")
    plan = compose(tmp_path, "services: {db: {image: postgres}}\n")
    assert plan.dockerfile == "Dockerfile"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("services: [", "line 2"),
        ("a: b", "it has no services"),
        ("services: {a: {build: ../../etc}}", "none of its services has build"),
        ("services: {a: {build: {context: ., dockerfile: /etc/passwd}}}", "none of its services has build"),
        ("services: {a: {build: missing}}", "names 'missing/Dockerfile', which does not exist"),
        ("services: &a {b: *a}", "or to itself"),
        ("[" * 100, "nested too deeply"),
        ("services: {" + ",".join(f"a{n}: {{}}" for n in range(9000)) + "}", "it is too long"),
        ("a: &a {" + ",".join(f"k{n}: 1" for n in range(900)) + "}\nb: [" + "{<<: *a}," * 90 + "]", "merges too much"),
        ("x" * 200_000, "more than 128 KiB"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidGeneration) as raised:
        compose(tmp_path, text, dockerfile="compose.yaml")
    assert said in raised.value.message


def test_values_of_yaml_are_text_and_aliases_need_no_memory() -> None:
    assert read_yaml(b"a: 080\nb: ~\nc: ''\nd: &x [yes]\ne: *x\n") == {
        "a": "080",
        "b": None,
        "c": "",
        "d": ["yes"],
        "e": ["yes"],
    }
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert read_yaml(bomb.encode()) is not None
    with pytest.raises(UnreadableYaml):
        read_yaml(b"\xff")


def test_a_development_container_has_image_ports_and_variables(tmp_path: Path) -> None:
    (tmp_path / ".devcontainer").mkdir()
    (tmp_path / "main.rb").write_text("x")
    file = tmp_path / ".devcontainer" / "devcontainer.json"
    file.write_text(
        """{
  // a comment, with "quotes"
  "image": "ruby:3.3", /* another */
  "forwardPorts": [4567, "db:5432"],
  "containerEnv": {"MODE": "${localEnv:MODE:quick}", "N": "1"},
  "postCreateCommand": "bundle install",
  "postStartCommand": ["ruby", "main.rb"],
}
"""
    )
    plan = detect(tmp_path, Overrides(dockerfile=".devcontainer/devcontainer.json"))
    assert plan.image is not None
    assert plan.image.text == "FROM ruby:3.3\nWORKDIR /workspaces/project\nCOPY . .\nRUN bundle install\n"
    assert (plan.image.port, plan.image.command, plan.image.dockerfile) == (4567, ("ruby", "main.rb"), "")
    assert {name: one.value for name, one in plan.variables.items()} == {"MODE": "quick", "N": "1"}
    file.write_text(
        '{"build": {"dockerfile": "Dockerfile", "context": "..", "args": {"A": "1"}}, "appPort": "80:8080"}'
    )
    (tmp_path / ".devcontainer" / "Dockerfile").write_text("FROM x\n")
    plan = detect(tmp_path, Overrides(dockerfile=".devcontainer/devcontainer.json"))
    assert plan.image is not None
    assert (plan.image.dockerfile, plan.image.context, plan.image.port) == (".devcontainer/Dockerfile", ".", 8080)
    assert (plan.image.arguments, plan.image.text) == ({"A": "1"}, "WORKDIR /workspaces/project\nCOPY . .\n")
    for text, said in (("{}", "names neither image nor"), ('{"dockerFile": "../../x"}', "outside"), ("[", "neither")):
        file.write_text(text)
        with pytest.raises(InvalidGeneration, match=said):
            detect(tmp_path, Overrides(dockerfile=".devcontainer/devcontainer.json"))


def test_a_worker_cannot_name_hosts_or_folders_of_this_machine(tmp_path: Path) -> None:

    plan = compose(tmp_path)
    assert plan.image is not None
    good = Analysis(plan, frozenset(), ())
    assert checks.check_analysis(good, tmp_path, KINDS) is good
    for image in (
        replace(plan.image, hosts=("a\n1.2.3.4 b",)),
        replace(plan.image, context="../x"),
        replace(plan.image, dockerfile="/etc/passwd"),
        replace(plan.image, port=0),
        None,
    ):
        with pytest.raises(checks.Forged):
            checks.check_analysis(replace(good, plan=replace(plan, image=image)), tmp_path, KINDS)


MERGED = {
    "compose.yaml": """\
include: [parts/store.yaml]
services:
  api:
    extends: {file: base/common.yaml, service: base}
    build: {args: {A: "1"}}
    environment: ["MODE=own", "NAME=${USER_NAME:-nobody}", "TOKEN=${TOKEN:?set it}"]
    ports: ["8080"]
  debugger: {build: ., profiles: [tools]}
  tracer: {image: "tracer:1", profiles: [seen]}
  odd: {image: "odd:1", privileged: "true", cap_add: [ALL], secrets: [a]}
""",
    "compose.override.yaml": """\
services:
  api: {command: [run, --fast], environment: {MODE: override}, ports: ["9090"]}
""",
    "base/common.yaml": """\
services:
  base:
    extends: root
    build: {context: ../api, args: {B: "2"}}
    env_file: values.env
    depends_on: [elsewhere]
    healthcheck: {test: ["CMD", "test", "-e", "/ok"]}
  root: {environment: {ROOT: "1", MODE: base}, working_dir: /srv}
""",
    "base/values.env": "FROM_FILE=yes\n",
    "parts/store.yaml": "services: {store: {build: ../store, expose: ['7000']}}\n",
    "api/Dockerfile": "FROM x\n",
    "store/Dockerfile": "FROM x\n",
    "Dockerfile": "FROM x\n",
    ".env": "COMPOSE_PROFILES=seen\nTOKEN=t\n",
    "go.mod": "module x\n",
}


def _write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_includes_extends_overrides_and_profiles_are_heeded_and_what_is_not_read_is_named(tmp_path: Path) -> None:
    plan = detect(_write(tmp_path, MERGED), Overrides(dockerfile="compose.yaml#api"))
    assert plan.image is not None
    assert (plan.image.dockerfile, plan.image.arguments) == ("api/Dockerfile", {"A": "1", "B": "2"})
    assert (plan.image.command, plan.image.directory, plan.image.port) == (("run", "--fast"), "/srv", 8080)
    assert plan.image.health == ("CMD", "test", "-e", "/ok")
    assert {name: one.value for name, one in plan.variables.items()} == {
        "ROOT": "1",
        "MODE": "override",
        "NAME": "nobody",
        "TOKEN": "t",
        "FROM_FILE": "yes",
    }
    beside = {one.name: one for one in plan.image.beside}
    assert list(beside) == ["store", "tracer", "odd"]
    assert (beside["store"].source.dockerfile, beside["store"].source.port) == ("store/Dockerfile", 7000)
    assert (beside["tracer"].source.dockerfile, beside["tracer"].source.text) == ("", "FROM tracer:1\n")
    assert "compose.yaml: not read of odd: cap_add, privileged, secrets" in plan.warnings


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"compose.yaml": "include: [compose.yaml]\nservices: {a: {build: .}}\n"}, "or itself"),
        ({"compose.yaml": "include: [/etc/passwd]\nservices: {a: {build: .}}\n"}, "is no file of the project"),
        (
            {"compose.yaml": "services: {a: {build: ., extends: {file: ../../x.yaml, service: b}}}\n"},
            "is no file of the",
        ),
        ({"compose.yaml": "services: {a: {build: ., extends: a}}\n"}, "without an end"),
        ({"compose.yaml": "services: {a: {build: ., extends: none}}\n"}, "the service none, which does not exist"),
        ({"compose.yaml": "include: [parts/store.yaml]\nservices: {store: {build: .}}\n"}, "in an included file too"),
    ],
)
def test_a_file_that_leads_out_or_has_no_end_is_one_sentence(
    tmp_path: Path, changes: Mapping[str, str], said: str
) -> None:
    with pytest.raises(InvalidGeneration, match=said):
        detect(_write(tmp_path, {**MERGED, **changes}), Overrides(dockerfile="compose.yaml"))


def test_a_worker_s_answer_with_services_that_no_file_gives_is_refused(tmp_path: Path) -> None:
    plan = detect(_write(tmp_path, MERGED), Overrides(dockerfile="compose.yaml#api"))
    assert plan.image is not None
    [good, *_] = plan.image.beside
    for one in (
        replace(good, name="x\n"),
        replace(good, names=("evil host",)),
        replace(good, environment={"A": "\0"}),
        replace(good, source=replace(good.source, context="../../etc")),
        replace(good, source=replace(good.source, beside=(good,))),
    ):
        forged = replace(plan, image=replace(plan.image, beside=(one,)))
        with pytest.raises(checks.Forged):
            checks.check_analysis(Analysis(forged, frozenset(), ()), tmp_path)
    forged = replace(plan, image=replace(plan.image, beside=(good,) * 5))
    with pytest.raises(checks.Forged):
        checks.check_analysis(Analysis(forged, frozenset(), ()), tmp_path)


def test_files_that_the_project_names_are_merged_in_place_of_an_override_file(tmp_path: Path) -> None:
    one = "services: {{api: {{build: ., command: {word}, environment: {{FROM: {word}}}}}}}\n"
    names = ("compose.yaml", "compose.override.yaml", "base.yml", "deploy/more.yml")
    files = {name: one.format(word=name) for name in names}
    files |= {"Dockerfile": "FROM x\n", "go.mod": "module x\n"}

    def start(folder: str, given: str) -> StartPlan:
        return detect(_write(tmp_path / folder, {**files, ".env": given}))

    for folder, given, wanted in (
        ("a", "", "compose.override.yaml"),
        ("b", "COMPOSE_FILE=compose.yaml\n", "compose.yaml"),
        ("c", "COMPOSE_FILE=./base.yml:deploy/more.yml\n", "deploy/more.yml"),
        ("d", "COMPOSE_FILE='base.yml;compose.yaml'\nCOMPOSE_PATH_SEPARATOR=;\n", "compose.yaml"),
    ):
        plan = start(folder, given)
        assert plan.image is not None
        assert plan.image.command == (wanted,), folder
        assert plan.image.context == ".", folder
    del files["Dockerfile"]
    for given in ("COMPOSE_FILE=../a/compose.yaml\n", "COMPOSE_FILE=compose.yaml:/etc/passwd\n", "COMPOSE_FILE=none\n"):
        with pytest.raises(InvalidGeneration, match=r"no such file in|no file of the project"):
            start("e", given)


def test_a_file_that_grows_without_bound_is_one_sentence(tmp_path: Path) -> None:
    # Each level repeats the one before it, in what is merged with itself.
    levels = "".join(f"x{at}: &x{at} {{a: *x{at - 1}, b: *x{at - 1}}}\n" for at in range(1, 19))
    services = "base: {build: ., deploy: *x18}, api: {build: ., extends: base, deploy: *x18}"
    wide = f"x0: &x0 {{c: d}}\n{levels}services: {{{services}}}\n"
    many = "services:\n" + "".join(
        f"  s{at}: {{build: ., extends: {{file: other.yaml, service: b}}}}\n" for at in range(1000)
    )
    other = "services: {b: {image: x}}\n" + "# padding\n" * 10_000
    files = {"Dockerfile": "FROM x\n", "go.mod": "module x\n", "other.yaml": other}
    with pytest.raises(InvalidGeneration, match="it merges too much"):
        detect(_write(tmp_path / "wide", {**files, "compose.yaml": wide}), Overrides(dockerfile="compose.yaml"))
    assert detect(_write(tmp_path / "many", {**files, "compose.yaml": many})).dockerfile == "compose.yaml"


WAITING = """\
services:
  api:
    build: .
    ports: ["80"]
    depends_on:
      queue: {condition: service_healthy}
      move: {condition: service_completed_successfully}
      seen: {condition: service_started}
      orders-db: {condition: service_healthy}
      api: {condition: service_healthy}
      odd: {condition: [1]}
  queue:
    image: queue:1
    healthcheck: {test: "check me", interval: 1m30s, timeout: 500ms, retries: 7, start_period: 1.5s}
  move: {build: ., depends_on: {queue: {condition: service_healthy}}}
  seen: {image: "seen:1", healthcheck: {interval: never, timeout: 9999999s, retries: -1, start_period: 5}}
  orders-db: {image: "postgres:16"}
"""


def test_services_wait_for_those_beside_as_depends_on_says_and_databases_are_ready_before(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM x\n")
    plan = compose(tmp_path, WAITING, dockerfile="compose.yaml#api")
    assert plan.image is not None
    beside = {one.name: one.source for one in plan.image.beside}
    assert plan.image.waits == {"queue": HEALTHY, "move": DONE}
    assert {name: one.waits for name, one in beside.items()} == {"queue": {}, "move": {"queue": HEALTHY}, "seen": {}}
    assert beside["queue"].health == ("CMD-SHELL", "check me")
    assert beside["queue"].health_times == {
        "Interval": 90 * 10**9,
        "Timeout": 5 * 10**8,
        "StartPeriod": 15 * 10**8,
        "Retries": 7,
    }
    assert beside["seen"].health_times == {}
    asks = replace(beside["queue"], health=("CMD", "curl", "http://localhost/x"))
    image = with_source(read_built({"Config": {}}), asks)
    assert image.health is None
    assert image.check is not None
    assert (image.check.interval_s, image.check.timeout_s, image.check.start_s, image.check.retries) == (90, 1, 1.5, 7)
    for waits in ({"x": "service_odd"}, {str(one): DONE for one in range(5)}):
        forged = replace(plan, image=replace(plan.image, waits=waits))
        with pytest.raises(checks.Forged):
            checks.check_analysis(Analysis(forged, frozenset(), ()), tmp_path, KINDS)
