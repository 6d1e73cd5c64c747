"""Services of a compose file beside the previewed one: a private network, names, their lines, and nothing left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip, engine_pid
from image_kit import BASE, SERVER, import_base
from launch_kit import ask, open_rig, says, story

from preview.core.lifecycle import State
from preview.detection import detect
from preview.runtime.container.network import open_private_network, remove_networks
from preview.settings import Settings

# Both listen at the same port, as services do.
COMPOSE = f"""\
services:
  api:
    build: .
    command: ["80"]
    environment: {{OTHER: helper, OWN: api, LOOKS: "yes"}}
    ports: ["80"]
    depends_on: {{helper: {{condition: service_healthy}}, finished: {{condition: service_completed_successfully}}}}
  helper:
    build: {{context: ., args: {{WORD: helped}}}}
    healthcheck:
      test: ["CMD", "/bin/perl", "-MIO::Socket::INET", "-e", "exit !IO::Socket::INET->new('127.0.0.1:80')"]
      start_period: 2m
    command: ["80"]
    environment: {{OTHER: api, OWN: helper}}
  finished: {{image: "{BASE}", entrypoint: [/bin/sh, -c, "echo done here"]}}
  missing: {{image: "missing/image:1"}}
"""
DOCKERFILE = f"""\
FROM {BASE}
ARG WORD=answered
RUN mkdir -p /app && echo $WORD > /app/built
COPY server.pl /
ENTRYPOINT ["/bin/perl", "/server.pl"]
"""
LOOK = r"""
$| = 1;
use IO::Socket::INET;
for my $file (qw(/proc/net/route /proc/net/if_inet6 /etc/hosts /proc/net/dev)) {
    open(my $in, "<", $file); print map { "$file: $_" } <$in>; close $in;
}
open(my $in, "<", "/etc/hosts"); my ($known) = grep { /198\.1/ } <$in>; my ($peer) = $known =~ /^(\S+)/;
(my $gate = $peer) =~ s/(\d+)$/int($1 \/ 16) * 16 + 1/e;
for my $to ("$gate:7777", "127.0.0.11:53", "198.18.0.1:7777", "172.17.0.1:7777", "1.1.1.1:80") {
    my $got = IO::Socket::INET->new(PeerAddr => $to, Timeout => 1);
    print "reached $to\n" if $got && syswrite($got, "x\r\n\r\n") && sysread($got, my $said, 100);
}
my $own = gethostbyname($ENV{OWN});
print "knows itself\n" if $own && grep { /^\Q@{[inet_ntoa($own)]}\E\s/ } do { open(my $in, "<", "/etc/hosts"); <$in> };
if ($ENV{LOOKS}) {
    my $other;
    for (1 .. 200) { last if $other = IO::Socket::INET->new("$ENV{OTHER}:80"); select undef, undef, undef, 0.1 }
    print $other "GET / HTTP/1.0\r\n\r\n"; my $body; while (<$other>) { $body = $_ }
    print "the other says $body";
}
"""


@pytest.mark.long
async def test_services_run_beside_in_a_network_that_leads_nowhere_and_go_with_the_preview(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_or_skip()
    client = await import_base(engine)
    settings = make_settings_in(cache_dir=launch_cache_dir, stop_grace_s=2, container_engine=f"unix://{engine}")
    files = {"compose.yaml": COMPOSE, "Dockerfile": DOCKERFILE, "server.pl": LOOK + SERVER, "go.mod": "module x\n"}
    (tmp_path / "read").mkdir()
    for name, text in files.items():
        (tmp_path / "read" / name).write_text(text)
    pid = engine_pid(engine.parent)
    inside = ["nsenter", "--target", str(pid), "--net", "--"]
    # All that listens on the engine's machine would answer there.
    listens = "from socket import *; s = create_server(('0.0.0.0', 7777))\nwhile 1: s.accept()[0].send(b'host')"
    with trio.fail_after(300):
        async with open_rig(settings, monkeypatch) as rig, trio.open_nursery() as nursery:
            if pid is not None:
                nursery.start_soon(trio.run_process, [*inside, "python3", "-c", listens])
            preview = await rig.start(files, detect(tmp_path / "read"))
            assert preview.record.state is State.RUNNING, "\n".join(story(preview)[-12:])
            answer = (await ask(preview)).text
            await says(preview, "the other says helped")
            await says(preview, "finished: ended with exit code 0")
            lines = story(preview)
            listed = await client.labelled(f"preview.id={preview.id}")
            described = [await client.describe(one) for one in listed]
            addresses = b""
            if pid is not None:
                addresses = (await trio.run_process([*inside, "ip", "-4", "-o", "addr"], capture_stdout=True)).stdout
            await rig.service.previews.stop("g1")
            left = await client.labelled(f"preview.id={preview.id}")
            networks = await client.call("GET", "/networks?filters=%7B%22driver%22%3A%5B%22bridge%22%5D%7D")
            nursery.cancel_scope.cancel()
    assert (answer, left, networks) == ("answered\n", [], [])
    assert not [line for line in lines if "reached " in line], lines
    assert "finished | done here" in lines, lines
    assert any(line.startswith("helper | up at 80 as ") for line in lines), lines
    assert any("not started: missing; " in line for line in lines), lines
    started = next(at for at, line in enumerate(lines) if ", port " in line and line.startswith("process "))
    for said in ("the preview waits until helper is healthy (at most", "helper is healthy", "finished has ended with"):
        assert any(line.startswith(said) for line in lines[:started]), lines
    for who in ("", "helper | "):
        assert f"{who}knows itself" in lines, lines
        routes = [line.split(": ")[1].split() for line in lines if line.startswith(f"{who}/proc/net/route: ")]
        assert {one[0] for one in routes[1:]} == {"eth0"}, routes
        v6 = [line for line in lines if line.startswith(f"{who}/proc/net/if_inet6: ")]
        assert all(line.split()[-1] == "lo" for line in v6), v6
    assert len(described) == 2
    memory = [one["HostConfig"]["Memory"] for one in described]  # type: ignore[index]
    assert sum(memory) <= settings.memory_limit_mb << 20, memory
    # Nothing has the gateway's address, so what is sent there arrives nowhere.
    assert b"198.1" not in addresses, addresses


async def test_a_network_that_a_killed_service_left_is_removed_by_its_next_start(tmp_path: Path) -> None:
    client = await import_base(engine_or_skip())
    with trio.fail_after(120):
        async with open_private_network(client, tmp_path.name, "p") as one:
            async with open_private_network(client, tmp_path.name, "p") as other:
                assert not set(one.addresses) & set(other.addresses)
            assert await remove_networks(client, tmp_path.name) == 1
            assert await remove_networks(client, tmp_path.name) == 0
