"""What a preview's network means for a real launch: a wrong port, a database that is out of reach or allowed."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from launch_kit import Rig, ask, command, open_rig, says, story

from preview.core.isolation import Network
from preview.core.lifecycle import State
from preview.detection import ServiceKind, ServiceNeed, StartPlan, Step
from preview.errors import InvalidGeneration
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.supervisor.diagnosis import needs as needs_module
from preview.supervisor.diagnosis.diagnose_network import find_wrong_port, listening_sockets

SERVE = """
import http.server, os, socket, sys
said = b"well"
if len(sys.argv) > 2:
    with socket.create_connection(("127.0.0.1", int(sys.argv[2])), 5) as one: said = one.recv(100)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(said)
port = int(sys.argv[1])
print("listening on", port, flush=True)
http.server.HTTPServer(("", port), Handler).serve_forever()
"""
ASKS_A_DATABASE = """
import os, socket, sys, time
try: socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5)
except OSError as error: sys.exit(f"psycopg.OperationalError: {error} (Connection refused)")
"""

GREETS = """
import socket
listener = socket.create_server(("127.0.0.1", 8080))
while True:
    connection, _ = listener.accept()
    connection.sendall(b"220 greetings\\r\\n")
    connection.close()
"""


def needs_own_network(preview: LivePreview) -> None:
    if preview.confinement is not None and preview.confinement.network is Network.HOST:
        pytest.skip("no sandbox holds its network here")


OpenRig = Callable[..., AbstractAsyncContextManager[Rig]]


@pytest.fixture
def open_network_rig(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> OpenRig:
    @asynccontextmanager
    async def opened(**values: object) -> AsyncIterator[Rig]:
        settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, **values)
        with trio.fail_after(60):
            async with open_rig(settings, monkeypatch) as rig:
                yield rig

    return opened


@asynccontextmanager
async def database() -> AsyncIterator[int]:
    """Something of this machine that answers on a port of its loopback."""

    async def greet(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(b"rows")

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, greet, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def needing(plan: StartPlan, port: int) -> StartPlan:
    need = ServiceNeed(ServiceKind.POSTGRESQL, "DATABASE_URL", "db.py:1", at_startup=True, address=("127.0.0.1", port))
    return replace(plan, services=(need,))


async def test_a_command_that_listens_elsewhere_in_the_hosts_network_is_told_where(
    open_network_rig: OpenRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs_module, "_PATIENCE_S", 0.2)
    monkeypatch.setattr(needs_module, "_LONG_PATIENCE_S", 0.2)
    monkeypatch.setattr(needs_module, "_LOOK_S", 0.2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        wrong = free.getsockname()[1]
    async with open_network_rig(isolation="plain", usage_interval_s=0.1) as rig:
        preview = await rig.start({"serve.py": SERVE}, command("python", "serve.py", str(wrong)))
        assert preview.record.state is State.FAILED
        assert f"It listens on port {wrong}, but requests are sent to {preview.record.port}." in (
            preview.record.reason or ""
        )


async def test_a_command_that_listens_elsewhere_in_a_network_of_its_own_serves(open_network_rig: OpenRig) -> None:
    async with open_network_rig(loopback_ports="5432", network="loopback-only") as rig:
        preview = await rig.start({"serve.py": SERVE}, command("python", "serve.py", "8080"))
        needs_own_network(preview)
        assert preview.record.state is State.RUNNING, story(preview)
        assert (await ask(preview)).text == "well"
        with trio.fail_after(5):
            await says(preview, "listens on port 8080 instead of PORT: requests are forwarded to that port")


async def test_a_command_in_a_network_of_its_own_that_speaks_no_http_is_told_its_port(
    open_network_rig: OpenRig,
) -> None:
    async with open_network_rig(startup_timeout_s=10) as rig:
        preview = await rig.start({"greet.py": GREETS}, command("python", "greet.py"))
        needs_own_network(preview)
        assert preview.record.state is State.FAILED
        assert "It listens on port 8080, but gave no HTTP response there." in (preview.record.reason or "")


async def test_a_start_that_waits_for_a_download_is_told_of_the_network(open_network_rig: OpenRig) -> None:
    waits = (
        "print(\"'[Errno -3] Temporary failure in name resolution' thrown while requesting HEAD https://models.example/x\")\n"
        "import time\ntime.sleep(60)\n"
    )
    async with open_network_rig(startup_timeout_s=6) as rig:
        preview = await rig.start({"wait.py": waits}, command("python", "-u", "wait.py"))
        needs_own_network(preview)
        assert 'It tries to reach models.example, but its network is "none"' in (preview.record.reason or "")


async def test_what_a_step_could_not_reach_is_no_reason_for_a_silent_start(open_network_rig: OpenRig) -> None:
    says_so = "raise OSError('[Errno -3] Temporary failure in name resolution')"
    step = Step("seed", ("python", "-c", says_so), ".", "the test says so")
    async with open_network_rig(startup_timeout_s=4) as rig:
        plan = command("python", "-c", "import time; time.sleep(60)", steps=(step,))
        preview = await rig.start({"wait.py": ""}, plan)
        assert any("Temporary failure in name resolution" in line for line in story(preview))
        assert (preview.record.reason or "").startswith("The preview did not answer within 4 s")
        assert "It tries to reach" not in (preview.record.reason or "")


@pytest.mark.parametrize("isolation", ["auto", "plain"])
async def test_a_command_that_listens_at_its_port_is_not_elsewhere(open_network_rig: OpenRig, isolation: str) -> None:
    async with open_network_rig(isolation=isolation, loopback_ports="5432", network="loopback-only") as rig:
        preview = await rig.start({"serve.py": SERVE}, command("python", "serve.py", "$PORT"))
        assert preview.record.state is State.RUNNING, story(preview)
        assert (await ask(preview)).text == "well"
        assert await find_wrong_port(preview) is None


async def test_a_database_that_runs_but_is_out_of_reach_is_explained_by_the_network(
    open_network_rig: OpenRig,
) -> None:
    async with database() as port, open_network_rig() as rig:
        plan = needing(command("python", "ask.py", str(port)), port)
        preview = await rig.start({"ask.py": ASKS_A_DATABASE}, plan)
        if preview.confinement is not None and preview.confinement.network is not Network.NONE:
            pytest.skip("no sandbox holds its network here")
        warning = next(line for line in story(preview) if "is out of reach" in line)
        assert warning.startswith(f"PostgreSQL at 127.0.0.1:{port} (setting DATABASE_URL, db.py:1) is out of reach")
        assert preview.record.state is State.FAILED
        reason = preview.record.reason or ""
        assert 'One is running there, but its network is "none"' in reason
        assert f"--loopback-port {port}" in reason


async def test_a_database_whose_port_is_named_is_reached(open_network_rig: OpenRig) -> None:
    async with database() as port, open_network_rig(network="loopback-only", loopback_ports=str(port)) as rig:
        plan = needing(command("python", "serve.py", "$PORT", str(port)), port)
        preview = await rig.start({"serve.py": SERVE}, plan)
        assert preview.record.state is State.RUNNING, story(preview)
        assert (await ask(preview)).text == "rows"
        assert not [line for line in story(preview) if "out of reach" in line]


async def test_a_project_that_asks_for_more_than_is_allowed_is_refused(open_network_rig: OpenRig) -> None:
    async with open_network_rig() as rig:
        plan = replace(command("python", "serve.py"), network=Network.HOST)
        with pytest.raises(InvalidGeneration, match="PREVIEW_NETWORK_ALLOWED"):
            await rig.start({"serve.py": SERVE}, plan)


def test_listening_sockets_are_read_as_the_kernel_writes_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        found = dict(listening_sockets(Path("/proc/self/net/tcp").read_text().splitlines()))
        assert found[os.fstat(one.fileno()).st_ino] == one.getsockname()[1]
        assert os.fstat(other.fileno()).st_ino not in found
    assert list(listening_sockets(["", "0A 0A 0A 0A", "sl a:xyz b 0A 1 2 3 4 5 six"])) == []
