"""Steps, variables, missing servers: what happens ahead of the first answer, and how its failure is told."""

from __future__ import annotations

import socket
from contextlib import suppress

import httpx2
import pytest
import trio
from launch_kit import ANN, Rig, ask, command, says, story
from launch_projects import PLAIN

from preview.core.launch_steps import StepState
from preview.core.lifecycle import State, StopCause
from preview.detection import Origin, Overrides, ServiceKind, ServiceNeed, StartPlan, Step, Variable
from preview.errors import LaunchFailed


def serve(**more: object) -> StartPlan:
    return command("python", "serve.py", "{port}", **more)


def step(code: str, *, required: bool = False, name: str = "build") -> Step:
    return Step(name, ("python", "-c", code), ".", "because", required=required)


def secret() -> dict[str, Variable]:
    return {
        "SECRET_KEY": Variable("SECRET_KEY", "{secret}", Origin.MADE_UP, "app.py:1", secret=True),
        "MAIL_FROM": Variable("MAIL_FROM", "shop@example.com", Origin.MADE_UP, "app.py:2"),
        "PORT": Variable("PORT", "1", Origin.PROJECT),
        "LOG_LEVEL": Variable("LOG_LEVEL", "trace", Origin.EXAMPLE),
    }


# Steps


async def test_steps_run_in_their_order_and_their_output_is_in_the_log(rig: Rig) -> None:
    steps = (step("print('first')", name="one"), step("open('made', 'w'); print('second')", name="two"))
    preview = await rig.start(PLAIN, serve(steps=steps))
    assert preview.directory is not None
    assert (preview.directory / "made").exists()
    said = [line for line in story(preview) if line.startswith(("step", "first", "second"))]
    assert [line.partition(" in ")[0] for line in said] == [
        "step one: running (python -c print('first')), because",
        "first",
        "step one: done",
        "step two: running (python -c open('made', 'w'); print('second')), because",
        "second",
        "step two: done",
    ]
    assert [one.name for one in preview.record.steps] == ["files", "environment", "one", "two", "process", "answers"]
    assert {one.state for one in preview.record.steps} == {StepState.DONE}


async def test_a_required_step_that_fails_ends_the_launch_with_its_meaning(rig: Rig) -> None:
    failing = step("raise SystemExit('ModuleNotFoundError: No module named \\'jose\\'')", required=True)
    preview = await rig.start(PLAIN, serve(steps=(failing,)))
    await preview.over.wait()
    assert preview.record.state is State.FAILED
    assert str(preview.record.reason).startswith("There is no Python module 'jose'. Add the package")
    assert any(
        line.startswith("step build: failed with exit code 1; There is no Python module") for line in story(preview)
    )
    assert preview.cause.details["step"] == "build"
    assert preview.record.pid is None
    assert [one.state.value for one in preview.record.steps] == ["done", "done", "failed", "waiting", "waiting"]
    assert str(preview.record.steps[2].detail).startswith("failed with exit code 1; There is no Python module")


async def test_a_step_that_may_fail_is_told_and_the_start_goes_on(rig: Rig) -> None:
    preview = await rig.start(PLAIN, serve(steps=(step("raise SystemExit(3)"),)))
    assert preview.record.state is State.RUNNING
    assert "step build: failed with exit code 3; no reason was given" in story(preview)
    assert "the application is started without the step build" in story(preview)
    assert [one.state.value for one in preview.record.steps] == ["done", "done", "failed", "done", "done"]


async def test_all_newest_migrations_are_run_where_there_are_several(rig: Rig) -> None:
    # As Alembic does with two of them.
    code = "import sys; sys.exit(sys.argv[-1] == 'head' and 'Multiple head revisions are present' or print('all run'))"
    migrate = Step("migrations", ("python", "-c", code, "upgrade", "head"), ".", "Alembic")
    preview = await rig.start(PLAIN, serve(steps=(migrate,)))
    assert preview.record.state is State.RUNNING
    said = story(preview)
    assert "step migrations: there are several newest migrations, and all are run in a second try" in said
    assert "all run" in said
    assert sum(line.startswith("step migrations: done") for line in said) == 1


async def test_a_step_that_takes_too_long_is_ended(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.supervisor.launch.steps._DRAIN_S", 0.1)
    object.__setattr__(rig.service.settings, "step_timeout_s", 0.5)
    preview = await rig.start(PLAIN, serve(steps=(step("import time; time.sleep(600)", required=True),)))
    assert preview.record.state is State.FAILED
    assert "The step build failed: it did not finish within 0.5 s (PREVIEW_STEP_TIMEOUT)." in str(preview.record.reason)


async def test_a_stop_in_the_middle_of_a_step_leaves_nothing(rig: Rig) -> None:
    waits = step("print('waiting', flush=True); import time; time.sleep(600)")
    preview = await rig.begin(PLAIN, serve(steps=(waits,)))
    await says(preview, "waiting")
    preview.request_stop(StopCause.USER)
    await preview.over.wait()
    assert preview.record.state is State.STOPPED
    assert [one.state.value for one in preview.record.steps] == ["done", "done", "stopped", "waiting", "waiting"]


async def test_a_step_inherits_no_socket(rig: Rig) -> None:
    code = "import os; print('fds', sorted(os.listdir('/proc/self/fd'))[:4])"
    preview = await rig.start(PLAIN, serve(steps=(step(code),)))
    assert "fds ['0', '1', '2', '3']" in story(preview)


# Variables


async def test_a_secret_is_made_up_once_and_is_not_in_the_log(rig: Rig) -> None:
    shows = step("import os; print(len(os.environ['SECRET_KEY'])); open('key', 'w').write(os.environ['SECRET_KEY'])")
    preview = await rig.start(PLAIN, serve(steps=(shows,), variables=secret()))
    made_up = (await ask(preview)).text
    assert len(made_up) == 64
    assert preview.directory is not None
    assert (preview.directory / "key").read_text() == made_up
    assert not any(made_up in line for line in story(preview))
    assert (
        "variables not set, using placeholders: SECRET_KEY, MAIL_FROM=shop@example.com; set them in the project's "
        "settings, under [env] in preview.toml or in the launch request"
    ) in story(preview)


async def test_the_contracts_variables_stay_unless_a_person_says_otherwise(rig: Rig) -> None:
    shows = step("import os; print('port', os.environ['PORT'], 'level', os.environ['LOG_LEVEL'])")
    preview = await rig.start(PLAIN, serve(steps=(shows,), variables=secret()))
    assert f"port {preview.record.port} level ERROR" in story(preview)


async def test_a_restart_keeps_what_the_launch_request_decided(rig: Rig) -> None:
    overrides = Overrides(health="/")
    preview = await rig.begin(PLAIN, serve(), overrides=overrides)
    await preview.settled.wait()
    again = await rig.service.previews.restart(ANN, "g1")
    started = rig.service.previews.find(again.record.id)
    assert started is not None
    assert started.overrides == overrides


# Servers that are missing


def needing(port: int, *, at_startup: bool = True) -> tuple[ServiceNeed, ...]:
    address = ("127.0.0.1", port)
    return (ServiceNeed(ServiceKind.POSTGRESQL, "DATABASE_URL", "app/db.py:7", at_startup, address),)


def nobodys_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.timed
async def test_waiting_for_a_server_that_is_not_there_fails_in_seconds(rig: Rig) -> None:
    port, began = nobodys_port(), trio.current_time()
    waits = {"requirements.txt": "", "serve.py": "import time\nprint('connecting', flush=True)\ntime.sleep(600)"}
    preview = await rig.start(waits, serve(services=needing(port)))
    await preview.over.wait()
    assert trio.current_time() - began < 15
    assert str(preview.record.reason).startswith(
        f"It needs PostgreSQL at 127.0.0.1:{port} (setting DATABASE_URL, app/db.py:7), and nothing answers there. "
        "Start one or set DATABASE_URL."
    )
    assert isinstance(preview.cause, LaunchFailed)
    assert preview.cause.details["reason"] == "missing_service"


async def test_a_death_without_its_server_is_told_by_its_own_words(rig: Rig) -> None:
    port = nobodys_port()
    said = f"OSError: [Errno 111] Connect call failed ('127.0.0.1', {port})"
    dies = {"requirements.txt": "", "serve.py": f'raise SystemExit("""{said}""")'}
    preview = await rig.start(dies, serve(services=needing(port)))
    await preview.over.wait()
    assert preview.record.exit_code == 1
    assert str(preview.record.reason).startswith(f"It needs PostgreSQL at 127.0.0.1:{port} (setting DATABASE_URL")


async def test_a_death_by_a_placeholder_names_its_variable(rig: Rig) -> None:
    symbols = "import os\nprint({'EUR': 1}[os.environ['SHOP_CURRENCY']])\n"
    made_up = {
        name: Variable(name, value, Origin.MADE_UP, secret=name == "API_KEY")
        for name, value in (("API_KEY", "preview"), ("SHOP_CURRENCY", "preview"))
    }
    preview = await rig.start({"requirements.txt": "", "serve.py": symbols}, serve(variables=made_up))
    await preview.over.wait()
    assert str(preview.record.reason).endswith(
        "KeyError: 'preview' (serve.py line 2). SHOP_CURRENCY is not set, so it had the placeholder preview; "
        "set it in the project's settings."
    )


async def test_an_application_that_comes_up_without_its_server_runs_and_is_warned(rig: Rig) -> None:
    port = nobodys_port()
    preview = await rig.start(PLAIN, serve(services=needing(port)))
    assert preview.record.state is State.RUNNING
    needed = f"PostgreSQL at 127.0.0.1:{port} (setting DATABASE_URL, app/db.py:7)"
    warning = f"{needed} does not answer; anything that needs it will fail"
    assert warning in story(preview)


SLOW_HEALTH = """
import http.server, os, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/health": threading.Event().wait()
        if self.path == "/die": print("bye", flush=True); os._exit(3)
        self.send_response(404); self.end_headers()
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
"""


async def test_a_preview_that_answers_is_never_ended_for_a_missing_server(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.supervisor.diagnosis.needs._PATIENCE_S", 4.0)
    monkeypatch.setattr("preview.supervisor.diagnosis.needs._LONGEST_S", 4.0)
    monkeypatch.setattr("preview.supervisor.diagnosis.needs._LOOK_S", 0.1)
    port = nobodys_port()
    plan = command("python", "serve.py", "$PORT", services=needing(port), health_path="/health")
    preview = await rig.start({"requirements.txt": "", "serve.py": SLOW_HEALTH}, plan)
    assert preview.record.state is State.RUNNING, preview.record.reason
    assert any(
        "It needs PostgreSQL at" in line and "It answers requests all the same." in line for line in story(preview)
    )


async def test_an_end_at_a_request_names_the_server_that_is_missing(rig: Rig) -> None:
    port = nobodys_port()
    plan = command("python", "serve.py", "$PORT", services=needing(port, at_startup=False))
    preview = await rig.start({"requirements.txt": "", "serve.py": SLOW_HEALTH}, plan)
    assert preview.record.state is State.RUNNING, preview.record.reason
    with suppress(httpx2.TransportError):
        await ask(preview, "/die")
    await preview.over.wait()
    assert preview.record.reason == (
        "The process ended with exit code 3 after it had started. "
        f"PostgreSQL at 127.0.0.1:{port} (setting DATABASE_URL, app/db.py:7) does not answer."
    )


async def test_a_missing_variable_is_named_at_the_end(rig: Rig) -> None:
    dies = {"requirements.txt": "", "serve.py": "import os\nos.environ['STRIPE_KEY']"}
    preview = await rig.start(dies, serve())
    assert str(preview.record.reason).startswith("The environment variable STRIPE_KEY is not set.")
    assert preview.cause.details["reason"] == "missing_variable"


async def test_a_program_that_serves_nothing_is_told_so(rig: Rig) -> None:
    preview = await rig.start({"requirements.txt": "", "serve.py": "print('done')"}, serve())
    assert str(preview.record.reason).endswith("it finished without starting a server.")


async def test_an_error_that_a_program_only_prints_is_quoted(rig: Rig) -> None:
    code = "print('TypeError: the first account has no name')"
    preview = await rig.start({"requirements.txt": "", "serve.py": code}, serve())
    assert str(preview.record.reason).endswith(
        "The last error that it printed: TypeError: the first account has no name"
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('done')", "without starting a server."),
        # What lacks the types of its client fails elsewhere.
        ("raise SystemError('Given token is undefined')", "SystemError: Given token is undefined (serve.py line 1)."),
    ],
)
async def test_a_program_that_hides_that_prisma_has_no_engine_is_told_so(rig: Rig, code: str, said: str) -> None:
    name = "PRISMA_QUERY_ENGINE_LIBRARY"
    plan = serve(variables={name: Variable(name, "/environment/no-prisma-engine", Origin.PROJECT)})
    preview = await rig.start({"requirements.txt": "", "serve.py": code}, plan)
    assert f"{said} Prisma has no engine here, so what it does" in str(preview.record.reason)


# Health


async def test_a_health_route_that_says_no_holds_the_launch_for_seconds_only(rig: Rig) -> None:
    preview = await rig.start(PLAIN, serve(health_path="/health"))
    assert preview.record.state is State.RUNNING
    assert "GET /health returns 503: the server is running, but something that it needs is missing" in story(preview)
