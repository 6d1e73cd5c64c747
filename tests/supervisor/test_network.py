"""What a preview's network keeps it from, and how that is said."""

from __future__ import annotations

import socket
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from preview.core.isolation import Network
from preview.detection import ServiceKind, ServiceNeed
from preview.runtime import PlainRuntime
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.supervisor.diagnosis.diagnose_network import diagnose_network, with_source
from preview.supervisor.diagnosis.needs import explain, explain_missing_service, find_unanswered, find_unreached
from preview.supervisor.preview.confinement import confinement_for
from preview.supervisor.preview.network import Reach, reach_of, tell_unreachable


class Anywhere(PlainRuntime):
    """A runtime that holds each network; nothing is started in it."""

    def network(self, wanted: Network) -> Network:
        return wanted


NONE = Reach(Network.NONE, Network.NONE, frozenset(), own_port=3001)
PORTS = Reach(Network.LOOPBACK_ONLY, Network.LOOPBACK_ONLY, frozenset({5432}), own_port=3001)
HOST = Reach(Network.HOST, Network.HOST, frozenset())
POSTGRES = ServiceNeed(ServiceKind.POSTGRESQL, "DATABASE_URL", "app/db.py:7", address=("localhost", 5432))
WARNING = (
    'PostgreSQL at localhost:5432 (setting DATABASE_URL, app/db.py:7) is out of reach: its network is "none", which '
    "reaches nothing but itself. To allow it, the operator sets PREVIEW_NETWORK=loopback-only and "
    "PREVIEW_LOOPBACK_PORTS=5432 (or runs it with --loopback-port 5432)."
)
REQUESTS = (
    "requests.exceptions.ConnectionError: HTTPSConnectionPool(host='api.x.org', port=443): Max retries exceeded with "
    "url: / (Caused by NameResolutionError(\"Failed to resolve 'api.x.org'\"))"
)
AIOHTTP = (
    "aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host api.x.org:443 ssl:default "
    "[Temporary failure in name resolution]"
)


def preview(reach: Reach | None) -> LivePreview:
    """As much of one as is asked."""
    return cast("LivePreview", SimpleNamespace(reach=reach, directory=None))


def asked_addresses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Whom the service connects to from here on; nobody answers."""
    asked: list[tuple[str, int]] = []

    async def refuse(host: str, port: int) -> None:
        asked.append((host, port))
        await trio.lowlevel.checkpoint()
        raise ConnectionRefusedError

    monkeypatch.setattr(trio, "open_tcp_stream", refuse)
    return asked


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.8.9.1", "::1", "[::1]", "0.0.0.0"])
async def test_named_ports_of_this_machine_are_reached_under_each_of_its_names(host: str) -> None:
    assert PORTS.reaches(host, 5432)
    assert not PORTS.reaches(host, 5433)
    assert not PORTS.reaches(host, None)
    assert not NONE.reaches(host, 5432)


@pytest.mark.parametrize("host", ["db", "example.org", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org"])
async def test_other_machines_are_reached_by_host_alone(host: str) -> None:
    assert [reach.reaches(host, 5432) for reach in (NONE, PORTS, HOST)] == [False, False, True]


async def test_its_own_port_is_always_reached() -> None:
    assert NONE.reaches("localhost", 3001)


@pytest.mark.parametrize(
    ("reach", "host", "port", "said"),
    [
        (NONE, "localhost", 5432, "PREVIEW_NETWORK=loopback-only and PREVIEW_LOOPBACK_PORTS=5432 "),
        (NONE, "localhost", 5432, "--loopback-port 5432"),
        (PORTS, "localhost", 389, "PREVIEW_NETWORK=host "),
        (PORTS, "localhost", 6379, "PREVIEW_LOOPBACK_PORTS=5432,6379 "),
        (NONE, "api.example.org", 443, "PREVIEW_NETWORK=host (or runs it with --network host)"),
        (NONE, None, None, "PREVIEW_NETWORK=host"),
        (replace(NONE, allowed=Network.HOST), "api.example.org", 443, 'network = "host" under [start]'),
        (replace(PORTS, network=Network.NONE), "127.0.0.1", 5432, 'network = "loopback-only" under [start]'),
        (replace(NONE, allowed=Network.LOOPBACK_ONLY), "127.0.0.1", 5432, "PREVIEW_LOOPBACK_PORTS=5432 "),
    ],
)
async def test_who_can_allow_it_is_told_what_to_set(
    reach: Reach, host: str | None, port: int | None, said: str
) -> None:
    assert said in reach.advise(host, port)


async def test_a_server_out_of_reach_is_told_of_once_ahead_of_the_start() -> None:
    again = replace(POSTGRES, where="app/jobs.py:3")
    unknown = replace(POSTGRES, address=None)
    warnings = list(tell_unreachable(NONE, [POSTGRES, again, unknown]))
    assert warnings == [WARNING]


@pytest.mark.parametrize("reach", [PORTS, HOST, None])
async def test_of_a_server_in_reach_nothing_is_said(reach: Reach | None) -> None:
    assert list(tell_unreachable(reach, [POSTGRES])) == []


async def test_what_is_named_stands_in_the_settings() -> None:
    settings = Settings(network_allowed=Network.LOOPBACK_ONLY, loopback_ports=(6379,))
    assert reach_of(settings, Network.NONE, 3001) == Reach(Network.NONE, Network.LOOPBACK_ONLY, frozenset({6379}), 3001)


# What programs print whose network leads nowhere: each line was seen in a sandbox.
@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("Error: getaddrinfo EAI_AGAIN api.stripe.com", "api.stripe.com"),
        ("  cause: Error: getaddrinfo EAI_AGAIN api.stripe.com:443", "api.stripe.com:443"),
        ("Error: connect ENETUNREACH 1.1.1.1:443 - Local (0.0.0.0:0)", "1.1.1.1:443"),
        ("Error: connect ECONNREFUSED 127.0.0.1:9100", "127.0.0.1:9100"),
        ("Error: connect ECONNREFUSED ::1:9100", "[::1]:9100"),
        ("httpx.ConnectError: [Errno -3] Temporary failure in name resolution", "the network"),
        ("OSError: [Errno 101] Network is unreachable", "the network"),
        (REQUESTS, "api.x.org:443"),
        (AIOHTTP, "api.x.org:443"),
        (
            "'[Errno -3] Temporary failure in name resolution' thrown while requesting HEAD https://huggingface.co/x/y",
            "huggingface.co",
        ),
        ("curl: (6) Could not resolve host: deb.example.org", "deb.example.org"),
        ("ConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 9100)", "127.0.0.1:9100"),
        ("\x1b[31mdial tcp 10.0.0.5:80: connect: network is unreachable\x1b[0m", "10.0.0.5:80"),
    ],
)
async def test_what_is_asked_in_vain_is_explained_by_the_network(line: str, asked: str) -> None:
    found = diagnose_network(["starting", line, "bye"], NONE)
    assert found is not None
    assert found.reason == "network"
    assert found.message.startswith(
        f'It tries to reach {asked}, but its network is "none", which reaches nothing but itself.'
    )
    assert diagnose_network([line], HOST) is None


POOL = "ConnectionError: HTTPConnectionPool(host='localhost', port=80): Max retries exceeded with url: /token"


async def test_a_request_to_a_placeholder_names_its_variable_and_the_line() -> None:
    found = diagnose_network([POOL], NONE)
    assert found is not None
    made_up = {"TOKEN_URL": "http://localhost", "OTHER": "http://localhost:8080", "NAME": "preview"}
    assert with_source(found, NONE, "app/mail.py line 7", made_up).message == (
        "It sends a request to http://localhost (app/mail.py line 7), and nothing answers there: that is "
        "a placeholder, of TOKEN_URL, which is not set. Set it to the real address, which its network has to "
        "reach. To allow it, the operator sets PREVIEW_NETWORK=host (or runs it with --network host)."
    )


async def test_what_a_blocked_connection_is_for_is_told_by_its_line() -> None:
    found = diagnose_network(["Error: getaddrinfo EAI_AGAIN api.stripe.com:443"], NONE)
    assert found is not None
    told = with_source(found, NONE, "app/pay.py line 3", {"URL": "http://localhost", "BAD": "http://[x"})
    assert told.message.startswith("It tries to reach api.stripe.com:443 (app/pay.py line 3), but its network is")
    assert with_source(found, NONE, "", {}) == found


@pytest.mark.parametrize("line", ["ECONNREFUSED 127.0.0.1:3001", "ECONNREFUSED localhost:3001", "all is well", ""])
async def test_what_is_not_the_networks_doing_is_not_explained_by_it(line: str) -> None:
    assert diagnose_network([line], NONE) is None


@given(st.lists(st.text(max_size=80), max_size=5))
async def test_any_output_can_be_read(lines: list[str]) -> None:
    found = diagnose_network(lines, NONE)
    assert found is None or found.reason == "network"


async def test_a_server_that_runs_is_not_said_not_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        need = replace(POSTGRES, address=address)
        found = await explain_missing_service(preview(NONE), need, [need])
    assert found.reason == "network"
    assert "One is running there, but its network is" in found.message
    assert "nothing answers" not in found.message
    assert f"--loopback-port {address[1]}" in found.message
    assert found.details["network"] == "none"


async def test_a_server_that_does_not_run_is_told_with_the_network_besides() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        need = replace(POSTGRES, address=bound.getsockname())
        found = await explain_missing_service(preview(NONE), need, [need])
        assert found.reason == "missing_service"
        assert "nothing answers there. Start one or set DATABASE_URL. Besides, its network is" in found.message
        in_reach = await explain_missing_service(preview(HOST), need, [need])
    assert "network" not in in_reach.message


async def test_a_server_that_runs_but_is_out_of_reach_is_unreached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        need = replace(POSTGRES, address=listener.getsockname())
        assert await find_unreached(preview(NONE), [need]) == [need]
        assert await find_unreached(preview(HOST), [need]) == []
        assert await find_unreached(preview(None), [need]) == []


async def test_the_last_lines_are_explained_with_the_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        line = f'connection to server at "127.0.0.1", port {port} failed: Connection refused'
        found = await explain(preview(NONE), [line], [])
    assert found is not None
    assert found.message.startswith(f"It needs PostgreSQL at 127.0.0.1:{port}. One is running there, but its network")


async def test_a_mistake_of_its_own_is_not_the_networks() -> None:
    lines = ["telemetry: getaddrinfo EAI_AGAIN stats.example.org", "Traceback", "NameError: name 'x' is not defined"]
    assert await explain(preview(NONE), lines, []) is None
    assert await explain(preview(NONE), lines[:1], []) is not None


@pytest.mark.parametrize("reach", [NONE, PORTS])
@pytest.mark.parametrize("host", ["secret.example.org", "10.0.0.5", "169.254.169.254"])
async def test_nobody_is_asked_on_behalf_of_a_preview_that_may_not_ask_itself(
    reach: Reach, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_addresses(monkeypatch)
    need = replace(POSTGRES, address=(host, 5432))
    line = f'connection to server at "{host}", port 5432 failed: Connection refused'
    assert await explain(preview(reach), [line], [need]) is not None
    assert await find_unreached(preview(reach), [need]) == [need]
    assert await find_unanswered([need], reach) == []
    assert asked == []
    await find_unanswered([need], HOST)
    assert asked == [(host, 5432)]


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "localhost..:80"])
async def test_an_address_that_is_none_is_one_where_nobody_answers(address: str) -> None:
    found = await explain(preview(HOST), [f"redis.exceptions.ConnectionError: Error 111 connecting to {address}."], [])
    assert found is not None
    assert found.reason == "missing_service"


async def test_the_logs_first_line_names_the_ports_that_it_reaches() -> None:
    settings = Settings(loopback_ports=(5432, 6379))
    reaches = confinement_for(settings, Anywhere(), Network.LOOPBACK_ONLY).sentence()
    keeps = confinement_for(settings, Anywhere(), Network.NONE).sentence()
    assert ", network loopback-only (ports 5432, 6379); up to " in reaches
    assert ", network none; up to " in keeps
