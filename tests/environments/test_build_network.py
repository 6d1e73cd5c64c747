"""What the code of packages reaches while an environment is built: the operator's indexes, and nothing else."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import trio
from environment_kit import Said, write_wheel
from index_kit import Index, open_index
from jail_kit import make_jail
from registry_kit import open_registry
from test_environment_jail import ask, write_source_package
from test_node_environment import write_manifest, write_package

from preview.environments import EnvironmentCache, EnvironmentRequest, Jail
from preview.environments.node.build import NodeEnvironmentCache
from preview.environments.node.modules import place_modules
from preview.environments.way_out.allowed import NODE_REGISTRY, PYTHON_INDEX
from preview.errors import EnvironmentFailed
from preview.runtime import child_subreaper
from preview.settings import Settings

LIMIT_S = 120
# What a package's build says to its way out.
_PROXY = """
    import socket
    def said(request, wait=5):
        way_out = socket.create_connection(("127.0.0.1", 3128), 5)
        way_out.settimeout(wait)
        way_out.sendall(request)
        return way_out.recv(200).split(b"\\r\\n")[0].decode()
    def tunnel(at):
        return said(f"CONNECT {at} HTTP/1.1\\r\\nHost: INDEX\\r\\n\\r\\n".encode())
    def get(at, host="INDEX"):
        return said(f"GET http://{at}/ HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
"""


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The operator's index, on this machine's loopback, with one package."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    write_wheel(wheels, "tiny")
    for name in ("UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    with open_index(wheels) as index:
        monkeypatch.setenv("UV_DEFAULT_INDEX", index.url)
        yield index


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    settings = Settings(cache_dir=tmp_path / "cache", data_dir=tmp_path / "data")
    settings.data_dir.mkdir()
    return settings


@pytest.fixture
async def jail(settings: Settings) -> AsyncIterator[Jail]:
    with child_subreaper():
        yield await make_jail(settings)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@contextmanager
def listening() -> Iterator[int]:
    """A port of this machine where connections are taken, as the service's or another preview's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


async def build_and_ask(settings: Settings, jail: Jail, project: Path, index: Index, setup: str) -> dict[str, object]:
    """What the build of a package found, by the names that it gave; the build has a way out, for ``tiny``."""
    write_source_package(project, _PROXY.replace("INDEX", f"127.0.0.1:{index.port}") + setup)
    (project / "requirements.txt").write_text("./odd\ntiny\n")
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(settings, jail).open_environment(
            EnvironmentRequest(project, server=None), Said()
        ) as environment:
            assert await ask(environment, "import tiny; print(tiny.VERSION)") == "1.0"
            answers = json.loads(await ask(environment, "import odd, json; print(json.dumps(odd.ANSWERS))"))
    assert isinstance(answers, dict)
    return answers


async def test_a_packages_build_reaches_no_port_of_the_machine_and_no_other_network(
    settings: Settings, jail: Jail, project: Path, index: Index
) -> None:
    with listening() as service, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind("")
        abstract.listen()
        name = abstract.getsockname()
        setup = f"""
    def dialled(family, address):
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(3)
            one.connect(address)
    tried("service", lambda: dialled(socket.AF_INET, ("127.0.0.1", {service})))
    tried("index", lambda: dialled(socket.AF_INET, ("127.0.0.1", {index.port})))
    tried("ipv6", lambda: dialled(socket.AF_INET6, ("::1", {service})))
    tried("abstract", lambda: dialled(socket.AF_UNIX, {name!r}))
    tried("metadata", lambda: dialled(socket.AF_INET, ("169.254.169.254", 80)))
    tried("private", lambda: dialled(socket.AF_INET, ("10.0.0.1", 80)))
    tried("public", lambda: dialled(socket.AF_INET, ("192.0.2.77", 443)))
    def sent():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.sendto(b"x", ("192.0.2.77", 53))
    tried("datagram", sent)
    tried("name", lambda: socket.getaddrinfo({PYTHON_INDEX!r}, 443))
    tried("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
    tried("packets", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
    ANSWERS["interfaces"] = [name for _, name in socket.if_nameindex()]
"""
        answers = await build_and_ask(settings, jail, project, index, setup)
    assert answers.pop("interfaces") == ["lo"]
    assert set(answers.values()) <= {"ConnectionRefusedError", "OSError", "gaierror", "PermissionError"}


async def test_a_packages_build_talks_its_way_out_to_no_other_host(
    settings: Settings, jail: Jail, project: Path, index: Index
) -> None:
    with listening() as service:
        at = f"127.0.0.1:{index.port}"
        setup = f"""
    for at in ("evil.example:443", "localhost:{service}", "127.0.0.1:{service}", "[::1]:{service}", "10.0.0.1:443",
               "169.254.169.254:80", "127.0.0.1:1", "{PYTHON_INDEX}:80", "0.0.0.0:{service}"):
        tried(at, lambda: tunnel(at))
        tried("http " + at, lambda: get(at))
    tried("forged", lambda: get("127.0.0.1:{service}", "{at}"))
    tried("two lengths", lambda: said(b"POST http://{at}/ HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 3\\r\\n"
        b"Transfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET http://127.0.0.1:{service}/ HTTP/1.1\\r\\n\\r\\n"))
    tried("huge", lambda: said(b"GET http://{at}/" + b"a" * 30000 + b" HTTP/1.1\\r\\n"))
    tried("slow", lambda: said(b"GET http://{at}/ HTTP/1.1\\r\\n", wait=30))
    tried("allowed", lambda: tunnel("{at}"))
"""
        answers = await build_and_ask(settings, jail, project, index, setup)
    assert answers.pop("allowed") == "'HTTP/1.1 200 '"
    assert str(answers.pop("two lengths")).startswith("'HTTP/1.1 400")
    assert str(answers.pop("huge"))[:14] in {"'HTTP/1.1 431 ", "ConnectionRese"}
    # Closed without an answer.
    assert answers.pop("slow") == "''"
    assert len(answers) == 19
    assert {str(one)[:13] for one in answers.values()} == {"'HTTP/1.1 403"}


@pytest.mark.timed
async def test_a_thousand_connections_of_a_build_hold_up_nobody(
    settings: Settings, jail: Jail, project: Path, index: Index
) -> None:
    setup = """
    held = []
    try:
        for _ in range(1000):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", 3128))
            held.append(one)
    except OSError:
        pass
    import time
    time.sleep(1.5)
    ANSWERS["held"] = len(held)
"""
    worst = most = 0.0
    own = psutil.Process()
    before = own.num_fds()

    async def look() -> None:
        nonlocal worst, most
        while True:
            started = trio.current_time()
            await trio.sleep(0.01)
            worst = max(worst, trio.current_time() - started - 0.01)
            most = max(most, own.num_fds() - before)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        answers = await build_and_ask(settings, jail, project, index, setup)
        nursery.cancel_scope.cancel()
    assert answers["held"] == 1000
    # 64 of them are open at a time, and each has no host yet.
    assert most < 120
    assert worst < 0.5


async def test_an_install_script_reaches_the_operators_registry_and_nothing_else(
    settings: Settings, jail: Jail, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
        const http = require('http'), net = require('net'), dns = require('dns'), fs = require('fs')
        const found = {}
        const done = (name, what) => { found[name] = what; fs.writeFileSync('found.json', JSON.stringify(found)) }
        const dial = (name, port, host) => {
          const one = net.connect(port, host, () => { done(name, 'connected'); one.destroy() })
          one.on('error', error => done(name, error.code))
          one.setTimeout(3000, () => { done(name, 'timeout'); one.destroy() })
        }
        const tunnel = (name, path) => {
          const one = http.request({ host: '127.0.0.1', port: 3128, method: 'CONNECT', path, agent: false })
          one.on('connect', (answer, socket) => { done(name, answer.statusCode); socket.destroy() })
          one.on('error', error => done(name, error.code)); one.end()
        }
        dial('service', SERVICE, '127.0.0.1'); dial('registry', REGISTRY, '127.0.0.1')
        dial('metadata', 80, '169.254.169.254')
        dns.resolve4('PUBLIC', error => done('dns', error ? error.code : 'resolved'))
        tunnel('tunnel', '127.0.0.1:SERVICE'); tunnel('evil', 'evil.example:443')
        tunnel('allowed', '127.0.0.1:REGISTRY')
    """
    with listening() as service, open_registry({"small": {"1.0.0": {}}}) as registry:
        port = registry.rstrip("/").rpartition(":")[2]
        monkeypatch.setenv("npm_config_registry", registry)
        script = script.replace("SERVICE", str(service)).replace("REGISTRY", port).replace("PUBLIC", NODE_REGISTRY)
        write_package(project / "one.tgz", "one", script, scripts={"postinstall": "node index.js"})
        write_manifest(project, name="shop", dependencies={"one": "file:one.tgz", "small": "^1.0.0"})
        with trio.fail_after(LIMIT_S):
            async with NodeEnvironmentCache(settings, jail).open_environment(
                EnvironmentRequest(project), lambda *_: None
            ) as environment:
                place_modules(environment.directory, project)
                modules = environment.directory / "node_modules"
                assert (modules / "small" / "index.js").read_text() == "module.exports = '1.0.0';"
                found = json.loads((modules / "one" / "found.json").read_text())
    assert found.pop("allowed") == 200
    assert (found.pop("tunnel"), found.pop("evil")) == (403, 403)
    assert set(found) == {"service", "registry", "metadata", "dns"}
    assert set(found.values()) <= {"ECONNREFUSED", "ENETUNREACH", "ENOTFOUND", "ESERVFAIL"}


async def test_an_offline_build_has_no_way_out_at_all(
    settings: Settings, jail: Jail, project: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup = 'tried("way out", lambda: socket.create_connection(("127.0.0.1", 3128), 3))'
    write_source_package(project, f"import socket\n{setup}")
    offline = settings.model_copy(update={"uv_offline": True})
    with trio.fail_after(LIMIT_S):
        async with EnvironmentCache(offline, jail).open_environment(
            EnvironmentRequest(project, server=None), Said()
        ) as environment:
            answers = await ask(environment, "import odd; print(odd.ANSWERS)")
    assert answers == "{'way out': 'ConnectionRefusedError'}"
    assert index.asked == []


async def test_the_password_of_the_operators_proxy_is_not_shown_to_a_build(
    settings: Settings, jail: Jail, project: Path, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "http_proxy", "all_proxy", "npm_config_https_proxy"):
        monkeypatch.setenv(name, "http://name:secret@127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    setup = """
    ANSWERS["proxies"] = sorted({value for name, value in os.environ.items() if name.lower().endswith("proxy")})
"""
    answers = await build_and_ask(settings, jail, project, index, setup)
    # Node's switch, no address, is the 1.
    assert answers["proxies"] == ["", "1", "http://127.0.0.1:3128"]


async def test_a_cancelled_build_leaves_no_connection_and_no_descriptor(
    settings: Settings, jail: Jail, project: Path, index: Index
) -> None:
    flag = project / "odd" / "begun"
    write_source_package(
        project,
        f"import socket, time\nway_out = socket.create_connection(('127.0.0.1', 3128))\n"
        f"pathlib.Path({str(flag)!r}).write_text('x')\ntime.sleep(600)",
    )
    (project / "requirements.txt").write_text("./odd\ntiny\n")
    before = psutil.Process().num_fds()
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:

            async def build() -> None:
                async with EnvironmentCache(settings, jail).open_environment(
                    EnvironmentRequest(project, server=None), Said()
                ):
                    pass

            nursery.start_soon(build)
            while not flag.exists():  # noqa: ASYNC110  another process writes it
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert psutil.Process().num_fds() == before


@pytest.mark.parametrize(
    "line", ["odd @ git+https://git.example/odd", "odd @ https://files.example/odd-1-py3-none-any.whl"]
)
async def test_a_requirement_at_a_host_that_builds_may_not_reach_fails_and_names_the_setting(
    settings: Settings, jail: Jail, project: Path, index: Index, line: str
) -> None:
    (project / "requirements.txt").write_text(f"{line}\ntiny\n")
    with trio.fail_after(LIMIT_S), pytest.raises(EnvironmentFailed) as caught:
        async with EnvironmentCache(settings, jail).open_environment(EnvironmentRequest(project, server=None), Said()):
            pass
    assert "PREVIEW_BUILD_HOSTS" in caught.value.message
    assert ".example:443" in caught.value.message
    assert caught.value.details["reason"] == "host"
    assert "odd" not in index.projects
