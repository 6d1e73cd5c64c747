"""A project with a compose file: its service runs, and reaches the preview's own databases by the names of the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from engine_kit import engine_or_skip
from image_kit import BASE, SERVER, import_base
from launch_kit import ask, open_rig, says, story

from preview.core.lifecycle import State
from preview.core.servers import find_postgresql, find_redis
from preview.detection import ServiceKind, detect
from preview.settings import Settings

COMPOSE = """\
services:
  orders-db: {image: "postgres:16", environment: {POSTGRES_PASSWORD: s3cret}}
  cache-store: {image: redis}
  worker: {build: ./service, depends_on: [orders-db]}
  api:
    build: {context: service, target: run, args: {BASE: "%s"}}
    command: [/srv/server.pl, "8081"]
    environment: {DATABASE: orders-db, CACHE: cache-store}
    ports: ["80:8081"]
    depends_on: [orders-db, cache-store]
    volumes: ["data:/data"]
"""
DOCKERFILE = """\
ARG BASE=missing/base
FROM ${BASE} AS run
COPY . /srv
RUN mkdir -p /app && echo composed > /app/built
ENTRYPOINT ["/bin/perl"]
CMD ["nothing.pl"]
FROM missing/other
"""
# The first message of PostgreSQL's protocol, and a command of Redis.
ASK = r"""
use IO::Socket::INET;
my $sql = IO::Socket::INET->new("$ENV{DATABASE}:5432") or die "no database: $!";
my $words = pack("N", 196608) . join("\0", user => "any", database => "orders", "", "");
syswrite $sql, pack("N", length($words) + 4) . $words;
sysread $sql, my $answer, 1;
print "postgres says $answer\n";
my $cache = IO::Socket::INET->new("$ENV{CACHE}:6379") or die "no cache: $!";
syswrite $cache, "SET key kept\r\nGET key\r\n";
my $said = "";
while ($said !~ /kept/) { sysread($cache, $said, 100, length $said) or last }
$said =~ s/\s+/ /g;
print "redis says $said\n";
open(my $out, ">", "/data/x") or die "no volume";
print "volume written at $ARGV[0]\n";
"""


async def test_the_service_of_a_compose_file_reaches_its_databases_by_their_names(
    make_settings_in: Callable[..., Settings], launch_cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_or_skip()
    if find_postgresql() is None or find_redis() is None:
        pytest.skip("no PostgreSQL or Redis on this machine")
    await import_base(engine)
    settings = make_settings_in(
        cache_dir=launch_cache_dir, stop_grace_s=2, container_engine=f"unix://{engine}", postgres="auto", redis="auto"
    )
    files = {
        "compose.yaml": COMPOSE % BASE,
        "go.mod": "module x\n",
        "service/Dockerfile": DOCKERFILE,
        "service/server.pl": ASK + SERVER,
    }
    for name, text in files.items():
        (tmp_path / "read" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "read" / name).write_text(text)
    with trio.fail_after(240):
        async with open_rig(settings, monkeypatch) as rig:
            if ServiceKind.POSTGRESQL not in rig.service.supplied:
                pytest.skip("no sandbox gives previews a network of their own here")
            preview = await rig.start(files, detect(tmp_path / "read", supplied=rig.service.supplied))
            assert preview.record.state is State.RUNNING, "\n".join(story(preview)[-12:])
            assert (await ask(preview)).text == "composed\n"
            await says(preview, "volume written at 8081")
            lines = story(preview)
            assert "redis says +OK $4 kept " in lines or "redis says +OK $4 kept" in lines, lines
            assert "postgres says R" in lines, lines
            assert any("the project starts by its service api: it has build and ports" in line for line in lines), lines
            assert any("not started: worker" in line for line in lines), lines
            await rig.service.previews.stop("g1")
