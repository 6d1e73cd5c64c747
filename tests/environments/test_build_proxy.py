"""The forward proxy of builds: what a hostile client asks it for, in its own words, and what it carries."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
import trio
import trio.testing

from preview.environments.way_out.allowed import AllowedHosts, is_own, is_public, parse_address
from preview.environments.way_out.connecting import Connector
from preview.environments.way_out.forward_proxy import ForwardProxy

LIMIT_S = 20
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


@dataclass
class Host:
    """A server on loopback that keeps what it was sent, and gives one answer to each connection."""

    port: int
    received: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def open_host(answer: bytes = ANSWER) -> AsyncIterator[Host]:
    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            host.received.append(b"")
            at = len(host.received) - 1
            while b"\r\n\r\n" not in host.received[at] and (data := await stream.receive_some()):
                host.received[at] += data
            await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        host = Host(listeners[0].socket.getsockname()[1])
        yield host
        nursery.cancel_scope.cancel()


def allow(*others: tuple[str, int], indexes: Sequence[tuple[str, int]] = (), any_public: bool = False) -> AllowedHosts:
    return AllowedHosts(frozenset(indexes), frozenset(others), any_public, {})


@dataclass
class Names:
    """A name server that gives out addresses, and keeps what it was asked."""

    addresses: Sequence[str] = ("127.0.0.1",)
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, _port: int) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        self.asked.append(host)
        return self.addresses if parse_address(host) is None else (host,)


@dataclass
class Client:
    stream: trio.SocketStream
    proxy: ForwardProxy

    async def ask(self, request: bytes) -> bytes:
        """All that is answered until the connection is closed."""
        await self.stream.send_all(request)
        return await self.read()

    async def read(self) -> bytes:
        answer = b""
        try:
            async for chunk in self.stream:
                answer += chunk
        except trio.BrokenResourceError:
            pass
        return answer


@asynccontextmanager
async def open_client(allowed: AllowedHosts, names: Names | None = None) -> AsyncIterator[Client]:
    ours, theirs = socket.socketpair()
    proxy = ForwardProxy(Connector(allowed, names or Names()))
    with trio.fail_after(LIMIT_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(proxy.serve, trio.SocketStream(trio.socket.from_stdlib_socket(theirs)))
            async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
                yield Client(stream, proxy)


async def ask(allowed: AllowedHosts, request: bytes, names: Names | None = None) -> tuple[bytes, list[str]]:
    """The answer's status, and what was noted as refused."""
    async with open_client(allowed, names) as client:
        answer = await client.ask(request)
        return answer[9:12], client.proxy.refused


def connect(at: str) -> bytes:
    return f"CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n".encode()


def get(at: str) -> bytes:
    return f"GET http://{at}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize(
    "at",
    [
        "evil.example:443",
        "93.184.215.14:443",
        "127.0.0.1:8000",
        "[::1]:8000",
        "169.254.169.254:80",
        "10.0.0.1:443",
        "localhost:443",
        "index.example:22",
        "index.example:80",
        "index.example.evil.example:443",
        "sub.index.example:443",
        "0x7f.1:443",
        "2130706433:443",
    ],
)
async def test_a_tunnel_to_anything_but_an_allowed_host_and_port_is_refused_before_its_name_is_looked_up(
    at: str,
) -> None:
    names = Names()
    status, refused = await ask(allow(("index.example", 443)), connect(at), names)
    assert (status, names.asked, len(refused)) == (b"403", [], 1)
    assert "is not a host that builds may reach" in refused[0]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.0.8", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::",
        "2001:0:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1",
    ],
)  # fmt: skip
async def test_an_allowed_name_that_leads_to_a_local_or_private_address_is_refused(address: str) -> None:
    for allowed in (allow(("index.example", 443)), allow(any_public=True)):
        status, refused = await ask(allowed, connect("index.example:443"), Names([address]))
        assert status == b"403", address
        assert "which is not a public address" in refused[0]


async def test_a_name_that_leads_elsewhere_at_its_next_lookup_is_not_followed_there() -> None:
    """DNS rebinding: the address that was checked is the one that is connected to, however often the name is asked."""

    class Rebinding(Names):
        async def __call__(self, host: str, port: int) -> Sequence[str]:
            await super().__call__(host, port)
            return ["10.0.0.1"] if len(self.asked) == 1 else ["127.0.0.1"]

    async with open_host() as host:
        for _ in range(2):
            names = Rebinding()
            status, _ = await ask(allow(("index.example", host.port)), connect(f"index.example:{host.port}"), names)
            assert (status, names.asked) == (b"403", ["index.example"])
        assert host.received == []


async def test_of_several_addresses_each_is_checked() -> None:
    async with open_host() as host:
        names = Names(["10.0.0.1", "::1", "127.0.0.1"])
        status, _ = await ask(allow(("index.example", host.port)), connect(f"index.example:{host.port}"), names)
        assert (status, host.received) == (b"403", [])


def own_address() -> str:
    """This machine's address towards others; skips the test where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.99", 9))
        except OSError:
            pytest.skip("no network but loopback")
        return str(probe.getsockname()[0])


async def test_the_machines_own_address_is_refused_as_loopback_is() -> None:
    address = own_address()
    parsed = parse_address(address)
    assert parsed is not None
    assert is_own(parsed, 443)
    status, refused = await ask(allow(any_public=True), connect("index.example:443"), Names([address]))
    assert (status, len(refused)) == (b"403", 1)


@pytest.mark.parametrize("address", ["1.1.1.1", "151.101.0.223", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_other_addresses_are_public(address: str) -> None:
    parsed = parse_address(address)
    assert parsed is not None
    assert is_public(parsed)


async def test_any_public_host_is_reached_on_the_ports_of_http_alone() -> None:
    for port in (22, 25, 8000, 5432):
        status, _ = await ask(allow(any_public=True), connect(f"index.example:{port}"))
        assert status == b"403"


@pytest.mark.parametrize(
    "request_line",
    [
        "GET / HTTP/1.1",
        "GET https://index.example/ HTTP/1.1",
        "GET ftp://index.example/ HTTP/1.1",
        "GET http://index.example@evil.example/ HTTP/1.1",
        "GET http://user:pass@index.example/ HTTP/1.1",
        "GET http://index.example\\@evil.example/ HTTP/1.1",
        "GET http://index.example/#@evil.example/ HTTP/1.1",
        "GET http:/index.example/ HTTP/1.1",
        "GET //index.example/ HTTP/1.1",
        "GET http://[index.example]/ HTTP/1.1",
        "GET http://index.example:99999/ HTTP/1.1",
        "GET http://index.example:0/ HTTP/1.1",
        "GET http://./ HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET  http://index.example/ HTTP/1.1",
        "GET http://index.example/ x HTTP/1.1",
        "GET http://index.example/\x00 HTTP/1.1",
        "GET http://index.example/\xe9 HTTP/1.1",
        "GET http://index.example/ HTTP/2.0",
        "GET http://index.example/",
        "CONNECT index.example HTTP/1.1",
        "CONNECT http://index.example:80 HTTP/1.1",
        "CONNECT index.example:80@evil.example:80 HTTP/1.1",
        "CONNECT evil.example:80/index.example:80 HTTP/1.1",
        "CONNECT index.example:80:80 HTTP/1.1",
        "CONNECT index.example:+80 HTTP/1.1",
        "CONNECT index.example:٨٠ HTTP/1.1",
        "\x16\x03\x01\x02\x00\x01\x00",
    ],
)
async def test_a_target_with_two_readings_is_no_request(request_line: str) -> None:
    names = Names()
    allowed = allow(indexes=[("index.example", 80)])
    status, _ = await ask(allowed, f"{request_line}\r\nHost: index.example\r\n\r\n".encode("latin-1", "replace"), names)
    assert (status, names.asked) == (b"400", [])


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: +4",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding : chunked",
        "Content-Length: 4\r\n folded",
        "X: a\rb",
        "X: a\x00b",
        "Host: evil.example",
        ": nameless",
    ],
)
async def test_a_head_with_two_readings_reaches_no_host(fields: str) -> None:
    async with open_host() as host:
        at = f"index.example:{host.port}"
        smuggled = f"0\r\n\r\nGET http://evil.example/ HTTP/1.1\r\nHost: {at}\r\n\r\n"
        request = f"POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{fields}\r\n\r\n{smuggled}".encode()
        status, _ = await ask(allow(indexes=[("index.example", host.port)]), request)
        assert status in {b"400", b"501"}
        assert host.received == []


async def test_the_host_that_a_request_names_is_replaced_by_its_targets() -> None:
    async with open_host() as host:
        at = f"127.0.0.1:{host.port}"
        allowed = allow(indexes=[("127.0.0.1", host.port)])
        fields = "Host: evil.example\r\nProxy-Authorization: x\r\nConnection: close, X-Drop\r\nX-Drop: 1\r\nX-Keep: 1"
        status, _ = await ask(allowed, f"GET http://{at}/simple/ HTTP/1.1\r\n{fields}\r\n\r\n".encode())
        assert status == b"200"
        head = host.received[0].decode().lower()
        assert head.startswith(f"get /simple/ http/1.1\r\nhost: {at}\r\n")
        assert "x-keep: 1" in head
        assert not any(word in head for word in ("evil", "x-drop", "proxy-"))


async def test_a_second_request_of_a_connection_is_checked_as_the_first_one() -> None:
    async with open_host() as host:
        at = f"127.0.0.1:{host.port}"
        first = f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n".encode()
        second = b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n\r\n"
        async with open_client(allow(indexes=[("127.0.0.1", host.port)])) as client:
            answer = await client.ask(first + first + second)
        assert answer.count(b"HTTP/1.1 200") == 2
        assert answer.count(b"HTTP/1.1 403") == 1
        assert len(host.received) == 2


async def test_a_connect_with_a_body_is_refused() -> None:
    request = b"CONNECT index.example:443 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
    assert (await ask(allow(("index.example", 443)), request))[0] == b"400"


@pytest.mark.parametrize(
    "head",
    [b"GET http://index.example/" + b"a" * 40_000, b"CONNECT x:1 HTTP/1.1\r\n" + b"X: y\r\n" * 8000, b"a" * 50_000],
)
async def test_a_huge_head_is_refused(head: bytes) -> None:
    status, _ = await ask(allow(("index.example", 443)), head)
    assert status in {b"431", b"400"}


@pytest.mark.parametrize("sent", [b"", b"CONN", b"CONNECT index.example:443 HTTP/1.1\r\nHost: x\r\n"])
async def test_a_client_that_never_finishes_its_head_is_left(
    sent: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    proxy = ForwardProxy(Connector(allow(), Names()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(proxy.serve, theirs)  # type: ignore[arg-type]  # as good as a socket
        await ours.send_all(sent)
        with trio.fail_after(11):
            assert await ours.receive_some() == b""


async def test_an_index_of_the_operator_is_reached_wherever_it_is_and_its_neighbours_are_not() -> None:
    async with open_host() as host, open_host() as neighbour:
        allowed = allow(indexes=[("index.example", host.port)])
        assert (await ask(allowed, get(f"index.example:{host.port}")))[0] == b"200"
        assert (await ask(allowed, get(f"index.example:{neighbour.port}")))[0] == b"403"
        assert neighbour.received == []


async def test_a_host_on_a_private_address_is_reached_where_the_address_is_named_too() -> None:
    async with open_host() as host:
        allowed = allow(("git.example", host.port), ("127.0.0.1", host.port))
        request = get(f"git.example:{host.port}")
        assert (await ask(allowed, request))[0] == b"200"
        assert (await ask(allowed, request, Names(["127.0.0.2"])))[0] == b"403"


async def test_a_tunnel_carries_bytes_both_ways_and_ends_with_either_side() -> None:
    async with open_host(b"from the host") as host:
        async with open_client(allow(indexes=[("127.0.0.1", host.port)])) as client:
            # Some of it comes along with the request.
            answer = await client.ask(connect(f"127.0.0.1:{host.port}") + b"from the build\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b"\r\n\r\nfrom the host")
        assert host.received == [b"from the build\r\n\r\n"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_an_answer_of_any_framing_is_carried(answer: bytes) -> None:
    async with open_host(answer) as host:
        request = f"GET http://127.0.0.1:{host.port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        async with open_client(allow(indexes=[("127.0.0.1", host.port)])) as client:
            found = await client.ask(request)
        assert found.startswith(b"HTTP/1.1 200")
        assert b"ok" in found.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
async def test_a_host_that_does_not_speak_http_ends_that_request_alone(answer: bytes) -> None:
    async with open_host(answer) as host:
        request = f"GET http://127.0.0.1:{host.port}/ HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        async with open_client(allow(indexes=[("127.0.0.1", host.port)])) as client:
            assert await client.ask(request) == b""


async def test_a_host_that_does_not_answer_is_a_502() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        status, refused = await ask(allow(indexes=[("127.0.0.1", port)]), connect(f"127.0.0.1:{port}"))
    assert (status, refused) == (b"502", [])


async def test_only_so_many_refused_hosts_are_kept() -> None:
    proxy = ForwardProxy(Connector(allow(), Names()))
    for number in range(50):
        ours, theirs = trio.testing.memory_stream_pair()
        await ours.send_all(connect(f"evil{number}.example:443"))
        await proxy.serve(theirs)  # type: ignore[arg-type]  # as good as a socket
    assert len(proxy.refused) == 20


@asynccontextmanager
async def open_operators_proxy(allowed: AllowedHosts) -> AsyncIterator[tuple[int, ForwardProxy]]:
    proxy = ForwardProxy(Connector(allowed, Names()))
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, proxy.serve, 0, host="127.0.0.1"))
        yield listeners[0].socket.getsockname()[1], proxy
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("request_of", [connect, get])
async def test_the_operators_own_proxy_is_used_for_what_is_allowed_and_for_nothing_else(
    request_of: Callable[[str], bytes],
) -> None:
    async with open_host() as host:
        at = ("index.example", host.port)
        async with open_operators_proxy(allow(indexes=[at])) as (port, theirs):
            address = f"http://name:pass@127.0.0.1:{port}"
            proxies = {"http": address, "https": address, "no": "elsewhere.example"}
            allowed = AllowedHosts(frozenset([at]), frozenset(), any_public=False, proxies=proxies)
            names = Names()
            async with open_client(allowed, names) as client:
                answer = await client.ask(
                    request_of(f"index.example:{host.port}") + b"x\r\n\r\n" * (request_of is connect)
                )
            assert answer.endswith(b"ok")
            # The operator's proxy looks names up.
            assert names.asked == []
            assert (await ask(allowed, request_of("evil.example:443")))[0] == b"403"
            assert theirs.refused == []
            direct = AllowedHosts(frozenset([at]), frozenset(), any_public=False, proxies={**proxies, "no": "*"})
            async with open_client(direct, names) as client:
                await client.ask(request_of(f"index.example:{host.port}") + b"x\r\n\r\n" * (request_of is connect))
            assert names.asked == ["index.example"]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "https://127.0.0.1:1"])
async def test_an_operators_proxy_of_another_kind_is_a_502_that_says_so(proxy: str) -> None:
    allowed = AllowedHosts(frozenset(), frozenset([("index.example", 443)]), any_public=False, proxies={"https": proxy})
    async with open_client(allowed) as client:
        assert b"is not an http:// one" in await client.ask(connect("index.example:443"))
