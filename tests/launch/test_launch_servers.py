"""Every kind of server, really started: on the socket that the service holds, or on the port it keeps for it."""

from __future__ import annotations

import socket
from dataclasses import replace

import pytest
import trio
from launch_kit import Rig, ask, command, inherits, listening_ports, says, story, target
from launch_projects import DJANGO, EXPRESS, FASTAPI, FLASK, FLASK_FACTORY, NODE, PLAIN

from preview.core.lifecycle import State
from preview.detection import Origin, Server, StartPlan, Step, Toolchain, Variable
from preview.supervisor import LivePreview

DJANGO_VARIABLES = {
    "SECRET_KEY": Variable("SECRET_KEY", "{secret}", Origin.MADE_UP, "config/settings.py:5", secret=True),
    "DB_FILE": Variable("DB_FILE", "{database_path}", Origin.SUPPLIED),
}
MIGRATE = Step("migrations", ("python", "manage.py", "migrate"), "site", "the project has migrations", required=True)


def django_plan(server: Server) -> StartPlan:
    return StartPlan(
        "django",
        Toolchain.PYTHON,
        server,
        target("config.settings", "", app_dir="site", framework="django"),
        directory="site",
        python_path=("site",),
        steps=(MIGRATE,),
        variables=DJANGO_VARIABLES,
    )


def assert_it_serves_on_the_services_socket(preview: LivePreview) -> None:
    assert preview.record.state is State.RUNNING, story(preview)
    assert listening_ports(preview) == {preview.record.port}
    assert preview.listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
    assert inherits(preview, preview.inner or preview.listener)
    # Where the service cannot restrict the host's socket, no process of the preview may have it.
    assert preview.inner is None or not inherits(preview, preview.listener)


async def test_fastapi_in_a_subfolder(rig: Rig) -> None:
    plan = StartPlan(
        "fastapi",
        Toolchain.PYTHON,
        Server.ASGI,
        target("shop.main", "app", app_dir="backend", framework="fastapi"),
        directory="backend",
        python_path=("backend",),
        health_path="/health",
    )
    preview = await rig.start(FASTAPI, plan)
    assert_it_serves_on_the_services_socket(preview)
    said = (await ask(preview, "/health")).json()
    backend = f"{preview.directory}/backend"
    assert said == {"name": "shop", "cwd": backend, "path": backend}
    # The project starts a server of its own while it is imported.
    assert any("uvicorn.run() in the project's own code is ignored" in line for line in story(preview))


async def test_flask(rig: Rig) -> None:
    plan = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, target("app", "app", framework="flask"))
    preview = await rig.start(FLASK, plan)
    assert_it_serves_on_the_services_socket(preview)
    assert (await ask(preview, "/nothing?a=%0Ab")).status_code == 404
    assert (await ask(preview, "/fail")).status_code == 500
    # What it has printed before the answer.
    await preview.log.read_on()
    said = "\n".join(story(preview))
    assert '127.0.0.1 - "GET /nothing?a=%0Ab HTTP/1.1" 404 NOT FOUND' in said
    assert "ZeroDivisionError" in said


async def test_a_stream_of_flask_arrives_as_it_is_made(rig: Rig) -> None:
    plan = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, target("app", "app", framework="flask"))
    preview = await rig.start(FLASK, plan)
    async with await trio.open_tcp_stream(*preview.socket_address) as stream:
        await stream.send_all(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while b"first" not in received:
            received += await stream.receive_some()


async def test_a_flask_factory_in_src(rig: Rig) -> None:
    made = target("shop", "create_app", app_dir="src", factory=True, framework="flask")
    plan = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, made, python_path=("src",))
    preview = await rig.start(FLASK_FACTORY, plan)
    assert_it_serves_on_the_services_socket(preview)
    assert (await ask(preview)).text == "made by a factory"


async def test_django_with_migrations_static_files_and_hosts_that_would_refuse(rig: Rig) -> None:
    preview = await rig.start(DJANGO, django_plan(Server.DJANGO))
    assert_it_serves_on_the_services_socket(preview)
    answer = await ask(preview)
    assert (answer.status_code, answer.text) == (200, "django_content_type, django_migrations WSGIRequest")
    assert (await ask(preview, "/static/logo.txt")).text == "a logo"
    said = story(preview)
    assert any(line.startswith("step migrations: running (python manage.py migrate), the project has") for line in said)
    assert any(line.startswith("step migrations: done in ") for line in said)
    assert "ALLOWED_HOSTS would refuse the preview's own address: localhost, .localhost, 127.0.0.1, [::1] added" in said
    assert "SECURE_SSL_REDIRECT is off: the preview is served by plain HTTP" in said


@pytest.mark.parametrize("server", [Server.DJANGO, Server.ASGI])
async def test_django_tells_why_a_request_failed_without_debug(rig: Rig, server: Server) -> None:
    urls = DJANGO["site/config/urls.py"] + "def fails(request): return 1 / 0\nurlpatterns += [path('fails', fails)]\n"
    preview = await rig.start({**DJANGO, "site/config/urls.py": urls}, django_plan(server))
    assert (await ask(preview, "/fails")).status_code == 500
    await says(preview, "ZeroDivisionError: division by zero")
    assert sum(line.startswith("ZeroDivisionError") for line in story(preview)) == 1


@pytest.mark.parametrize("server", [Server.DJANGO, Server.ASGI])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from django.urls import gone", "'gone'"),
        ("raise ValueError('the token must be a string')", "the token must be"),
    ],
)
async def test_django_fails_at_its_start_if_its_urls_cannot_be_imported(
    rig: Rig, server: Server, line: str, said: str
) -> None:
    urls = f"{line}\n{DJANGO['site/config/urls.py']}"
    # The command `migrate` would find it, too.
    preview = await rig.start({**DJANGO, "site/config/urls.py": urls}, replace(django_plan(server), steps=()))
    assert preview.record.state is State.FAILED
    assert said in (preview.record.reason or "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("OSError('not yet')", "OSError: not yet"),
        ("django.db.OperationalError('not yet')", "OperationalError: not yet"),
        ("type('ConnectionLost', (Exception,), {})('not yet')", "ConnectionLost: not yet"),
    ],
)
async def test_urls_that_a_server_keeps_from_loading_are_tried_again_at_the_first_request(
    rig: Rig, error: str, said: str
) -> None:
    urls = DJANGO["site/config/urls.py"] + (
        "import django.db, pathlib\nmark = pathlib.Path('mark')\n"
        f"if not mark.exists():\n    mark.touch()\n    raise {error}\n"
    )
    plan = replace(django_plan(Server.DJANGO), steps=())
    preview = await rig.start({**DJANGO, "site/config/urls.py": urls}, plan)
    assert (await ask(preview)).status_code == 200
    assert f"URL patterns could not be loaded yet: {said}" in "\n".join(story(preview))


async def test_django_without_a_secret_key_gets_one(rig: Rig) -> None:
    settings = "\n".join(
        "SECRET_KEY = None" if line.startswith("SECRET_KEY") else line
        for line in DJANGO["site/config/settings.py"].splitlines()
    )
    view = "def key(request): return HttpResponse(str(len(settings.SECRET_KEY)))\n"
    urls = f"from django.conf import settings\n{DJANGO['site/config/urls.py']}\n{view}"
    files = {"site/config/settings.py": settings, "site/config/urls.py": f"{urls}urlpatterns += [path('key', key)]\n"}
    preview = await rig.start({**DJANGO, **files}, django_plan(Server.DJANGO))
    assert int((await ask(preview, "/key")).text) > 50
    assert "SECRET_KEY is empty: a made-up one is used" in story(preview)


RAISES = "from django.core.checks import register\n@register()\ndef fail(**_):\n    raise ValueError('no manifest')\n"


@pytest.mark.parametrize("lines", ["CSRF_TRUSTED_ORIGINS = ['']\n", RAISES], ids=["error", "raises"])
async def test_django_migrates_though_its_own_checks_fail(rig: Rig, lines: str) -> None:
    settings = DJANGO["site/config/settings.py"] + lines
    preview = await rig.start({**DJANGO, "site/config/settings.py": settings}, django_plan(Server.DJANGO))
    assert_it_serves_on_the_services_socket(preview)
    assert "django_content_type" in (await ask(preview)).text
    said = "\n".join(story(preview))
    assert "step migrations: Django's own checks fail, and are left out in a second try" in said
    assert said.count("step migrations: running (python manage.py migrate") == 2


async def test_django_by_asgi(rig: Rig) -> None:
    preview = await rig.start(DJANGO, django_plan(Server.ASGI))
    assert_it_serves_on_the_services_socket(preview)
    assert (await ask(preview)).text.endswith("ASGIRequest")
    assert (await ask(preview, "/static/logo.txt")).text == "a logo"


@pytest.mark.parametrize(
    ("app", "text", "is_replaced"),
    [
        ("", "", False),
        ("channels", "__version__ = '3.0.5'\n", True),
        # From 4.0 on, Channels leaves `runserver` to Daphne.
        ("channels", "__version__ = '4.2.2'\n", False),
        ("daphne", "", True),
    ],
)
async def test_django_whose_asgi_application_is_broken_is_served_as_runserver_does(
    rig: Rig, app: str, text: str, is_replaced: bool
) -> None:
    project = {**DJANGO, "site/config/asgi.py": "from config import consumers\n"}
    if app:
        project[f"site/{app}/__init__.py"] = text
        settings = project["site/config/settings.py"]
        project["site/config/settings.py"] = f"{settings}\nINSTALLED_APPS.append({app!r})\n"
    preview = await rig.start(project, django_plan(Server.ASGI))
    if is_replaced:
        assert preview.record.state is State.FAILED
        assert "consumers" in (preview.record.reason or "")
    else:
        assert_it_serves_on_the_services_socket(preview)
        assert (await ask(preview, "/")).text.endswith(" ASGIRequest")
        assert "config.asgi.application cannot be loaded (cannot import name 'consumers'" in "\n".join(story(preview))


async def test_express(rig: Rig) -> None:
    plan = StartPlan("express", Toolchain.NODE, Server.NODE, None, command=("server.js",))
    preview = await rig.start(EXPRESS, plan)
    assert_it_serves_on_the_services_socket(preview)
    assert (await ask(preview)).text == "express"
    assert f"the program asks for port 3000; the preview serves it on {preview.record.port}" in story(preview)


async def test_a_node_program_whose_port_is_no_number_is_served(rig: Rig) -> None:
    text = "const http = require('http');\nconst port = { port: Number(process.env.APP_PORT) };\n"
    text += "http.createServer((request, response) => response.end('here')).listen(port);\n"
    plan = StartPlan("node", Toolchain.NODE, Server.NODE, None, command=("server.js",))
    preview = await rig.start({"server.js": text}, plan)
    assert_it_serves_on_the_services_socket(preview)
    assert (await ask(preview)).text == "here"
    said = f"the program's port is no number: a variable is not set; the preview serves it on {preview.record.port}"
    assert said in story(preview)


async def test_a_node_program_keeps_its_helpers_port_and_its_callbacks(rig: Rig) -> None:
    plan = StartPlan("node", Toolchain.NODE, Server.NODE, None, command=("server.mjs",))
    preview = await rig.start(NODE, plan)
    said = story(preview)
    assert f"event {preview.record.port}" in said
    assert "callback true" in said
    (helper,) = [int(line.removeprefix("helper ")) for line in said if line.startswith("helper ")]
    assert listening_ports(preview) == {preview.record.port, helper}


async def test_a_node_cluster_serves_by_its_workers(rig: Rig) -> None:
    workers = {"WORKERS": Variable("WORKERS", "2", Origin.PROJECT)}
    plan = StartPlan("node", Toolchain.NODE, Server.NODE, None, command=("server.mjs",), variables=workers)
    preview = await rig.start(NODE, plan)
    assert (await ask(preview)).text == "worker true"


async def test_a_script_of_npm_is_given_the_socket_too(rig: Rig) -> None:
    plan = StartPlan("node", Toolchain.NODE, Server.COMMAND, None, command=("npm", "start"))
    preview = await rig.start(NODE, plan)
    assert (await ask(preview)).text == "worker false"
    assert preview.record.port in listening_ports(preview)


async def test_a_command_listens_at_its_port_itself(rig: Rig) -> None:
    preview = await rig.start(PLAIN, command("python", "serve.py", "$PORT"))
    assert preview.record.state is State.RUNNING, story(preview)
    assert listening_ports(preview) == {preview.record.port}
    assert (await ask(preview)).status_code == 200
    await rig.service.previews.stop("g1")
    with socket.create_server(("127.0.0.1", preview.record.port or 0)):
        """Free again."""


async def test_a_command_without_a_sandbox_has_the_port_to_itself(plain_rig: Rig) -> None:
    preview = await plain_rig.start(PLAIN, command("python", "serve.py", "$PORT"))
    assert preview.listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
    assert listening_ports(preview) == {preview.record.port}
    assert (await ask(preview)).status_code == 200


async def test_a_program_that_is_nowhere_is_named(rig: Rig) -> None:
    preview = await rig.start(PLAIN, command("no-such-program", "serve"))
    assert preview.record.state is State.FAILED
    assert "'no-such-program' is neither in the project's environment nor on this machine" in str(preview.record.reason)
