"""The network of an image's build: the hosts of package indexes through the service's proxy, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip, own_runtime
from image_kit import BASE, SERVER, import_base
from launch_kit import ask, open_rig, story

from preview.core.lifecycle import State
from preview.detection import Server, StartPlan, Toolchain
from preview.settings import Settings
from preview.sources.image_source import ImageSource

PLAN = StartPlan(
    "dockerfile", Toolchain.IMAGE, Server.COMMAND, None, dockerfile="Dockerfile", image=ImageSource("Dockerfile")
)
ASK = r"""
$| = 1; use IO::Socket::INET;
my ($index, $other) = @ARGV;
open(my $in, "<", "/proc/net/dev"); print "interfaces: ", (join " ", map { /^\s*(\w+):/ ? $1 : () } <$in>), "\n";
my ($proxy) = ($ENV{http_proxy} // "") =~ m{^http://([\d.]+:\d+)$};
print "all names\n" if $proxy && 4 == grep { /^https?_proxy$/i && $ENV{$_} eq $ENV{http_proxy} } keys %ENV;
for my $to ($index, $other, "172.17.0.1:22", "1.1.1.1:80") {
    print "direct to $to\n" if IO::Socket::INET->new(PeerAddr => $to, Timeout => 1);
}
for my $line ("GET http://$index/word", "GET http://$other/", "CONNECT $other", "CONNECT 169.254.169.254:80",
              "CONNECT localhost:22", "GET http://[::1]/", "nonsense") {
    my $to = IO::Socket::INET->new(PeerAddr => $proxy, Timeout => 20) or die "no proxy: $!";
    print $to "$line HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    my $said = join "", <$to>; $said =~ /^HTTP\S+ (\d+)/; print "$line: ", $1 // "closed", "\n";
    next if $line !~ /word$/;
    open(my $out, ">", "/app/built"); print $out $said =~ /\r\n\r\n(.*)/s; close $out;
}
"""


@pytest.mark.long
async def test_a_build_reaches_package_indexes_alone(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_or_skip()
    client = await import_base(engine)
    # A test before this one may have killed its service.
    before = set(await client.labelled("preview.id"))
    reached: list[str] = []

    async def serve(name: str, stream: trio.SocketStream) -> None:
        async with stream:
            reached.append(f"{name}: {(await stream.receive_some(1000)).split()[1].decode()}")
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nfetched\n")

    with trio.fail_after(240):
        async with trio.open_nursery() as nursery:
            ports = []
            for name in ("index", "other"):
                [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
                ports.append(listener.socket.getsockname()[1])
                nursery.start_soon(partial(trio.serve_listeners, partial(serve, name), [listener]))
            index, other = (f"127.0.0.1:{port}" for port in ports)
            settings = make_settings_in(
                cache_dir=launch_cache_dir,
                stop_grace_s=2,
                container_engine=f"unix://{engine}",
                container_runtime=own_runtime(),
                build_hosts=[index],
            )
            files = {
                "Dockerfile": (
                    f"FROM {BASE}\nCOPY *.pl /\nRUN mkdir -p /app && perl /ask.pl {index} {other}\nEXPOSE 80\n"
                    'CMD ["perl", "/server.pl", "80"]\n'
                ),
                "server.pl": SERVER,
                "ask.pl": ASK,
            }
            async with open_rig(settings, monkeypatch) as rig:
                preview = await rig.start(files, PLAN)
                lines = story(preview)
                assert preview.record.state is State.RUNNING
                assert (await ask(preview)).text == "fetched\n"
                await rig.service.previews.stop("g1")
                left = set(await client.labelled("preview.id")) - before
            nursery.cancel_scope.cancel()
    assert reached == ["index: /word"]
    assert not left
    assert "interfaces: lo" in lines
    assert "all names" in lines
    assert not [line for line in lines if line.startswith("direct to")], lines
    assert f"GET http://{index}/word: 200" in lines
    refused = (f"GET http://{other}/", f"CONNECT {other}", "CONNECT 169.254.169.254:80", "CONNECT localhost:22")
    for line in (*refused, "GET http://[::1]/"):
        assert f"{line}: 403" in lines, lines
    assert "nonsense: 400" in lines
    assert any(line.startswith("the build of the image: ") and "169.254.169.254" in line for line in lines), lines
