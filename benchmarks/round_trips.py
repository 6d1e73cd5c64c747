"""How long does a request to a preview take, on each way to it, beside the same application started by hand?

``uv run python benchmarks/round_trips.py [--rounds N] [--requests N] [--framework NAME] [--case NAME] [--save FILE]``

FastAPI, Flask, Django and Express, each as a preview of ``preview serve`` with its default settings (sandboxed, and
warm where it can be: else the run ends), asked at its own port, through the relay (``/p/ID/``, with the cookie that a
browser has, and with a program's bearer token), at its own origin (``preview-….localhost``, with the cookie), and by
``POST …/preview/request``. Beside it the same server on a copy of the files, started
by hand with the same packages, and nginx in front of that. Each way is asked on kept connections: one request after
another, and 32 at once. A figure is the median time until the whole answer is there (of an event: from its writing
until it has come); ways take turns, round after round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from _caches import use_usual_caches
from _kept_connections import CASES, Connection, Way
from _measure import Figure, compare, interleave, report, save
from _request_projects import PROJECTS, Project

from preview.auth import issue_token, load_or_create_secret
from preview.settings import Settings

FLOOR = "by hand"
NGINX = "by hand, behind nginx"
DIRECT, RELAY, BEARER = "preview, direct", "preview, relay", "preview, relay, bearer token"
ORIGIN, CALL = "preview, own origin", "preview, POST request"
_NGINX = """worker_processes 1; daemon off; pid {0}/nginx.pid; error_log {0}/nginx.log;
events {{ worker_connections 1024; }}
http {{ access_log off; client_body_temp_path {0}/a; proxy_temp_path {0}/b; fastcgi_temp_path {0}/c;
uwsgi_temp_path {0}/d; scgi_temp_path {0}/e; keepalive_requests 100000000;
map $http_upgrade $kind {{ default upgrade; '' ''; }}
upstream u {{ server 127.0.0.1:{2}; keepalive 64; }}
server {{ listen 127.0.0.1:{1}; location / {{ proxy_pass http://u; proxy_http_version 1.1; proxy_buffering off;
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $kind; }} }} }}"""
_START_S = 120.0
_END_S = 20.0
_CROWD = 32
# What is promised for small answers, one after another; see ``judge``.
_DIRECT_RATIO, _RELAY_MS, _CALL_MS = 1.15, 0.3, 5.0


def measure(way: Way, case: str, requests: int, connections: int) -> float:
    """The median of so many on each of so many connections, in milliseconds."""
    ask, took_ms, failed = CASES[case](way), [], []

    def run(count: int) -> None:
        try:
            with closing(Connection(way)) as connection:
                ask(connection)  # opens whatever is behind it
                took_ms.extend([ask(connection) for _ in range(count)])
        except BaseException as error:  # noqa: BLE001  raised again below
            failed.append(error)

    if connections == 1:
        run(requests)
    else:
        threads = [threading.Thread(target=run, args=[max(1, requests // connections)]) for _ in range(connections)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    if failed:
        raise failed[0]
    return statistics.median(took_ms)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(
    argv: Sequence[str], folder: Path, *, port: int = 0, variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, from when it listens at the port on; what it prints goes to a file, but for the service's first."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREVIEW_")}
    with (folder / "said.txt").open("ab") as said:
        out = said if port else subprocess.PIPE
        process = subprocess.Popen(argv, cwd=folder, env={**inherited, **(variables or {})}, stdout=out, stderr=said)
    try:
        until = time.monotonic() + _START_S
        while port and socket.socket().connect_ex(("127.0.0.1", port)):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{argv} does not listen: {(folder / 'said.txt').read_text()[-2000:]}")
            time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Service:
    """``preview serve`` with its defaults, but for its folders and ports."""

    def __init__(self, opened: ExitStack, folder: Path) -> None:
        self.cache = folder / "cache"
        base = 20_000 + os.getpid() % 100 * 100
        variables = {
            "PREVIEW_DATA_DIR": str(folder / "data"),
            "PREVIEW_CACHE_DIR": str(self.cache),
            "PREVIEW_PORT_MIN": str(base),
            "PREVIEW_PORT_MAX": str(base + 99),
        }
        program = str(Path(sys.executable).with_name("preview"))
        argv = [program, "serve", "--json", "--bind", "127.0.0.1:0"]
        process = opened.enter_context(running(argv, folder, variables=variables))
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SystemExit(f"the service did not start: {(folder / 'said.txt').read_text()}")
        self.url = str(json.loads(line)["url"])
        self.port = int(self.url.rpartition(":")[2])
        owner = Settings(data_dir=folder / "data")
        self.token = issue_token(owner, load_or_create_secret(owner), "ann", tier="enterprise", ttl_s=36_000)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "Prefer": f"wait={_START_S:.0f}",
        }
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", content, headers, method=method)
        with urllib.request.urlopen(request, timeout=_START_S) as answer:
            read: dict[str, Any] = json.loads(answer.read() or "{}")
            return read

    def preview(self, project: Project) -> dict[str, Way]:
        """The ways to a preview of the project, which runs; warm, where there are templates for it."""
        files = {"project_id": "benchmark", "files": dict(project.files)}
        path = f"/api/v1/generations/{self.ask('POST', '/api/v1/generations', files)['id']}/preview"
        launched = self._launch(project, path)
        relay = Way(self.port, prefix=f"/p/{launched['id']}")
        origin = Way(self.port, host=f"{launched['id'].replace('_', '-')}.localhost:{self.port}")
        bearer = {"Authorization": f"Bearer {self.token}"}
        return {
            DIRECT: Way(int(launched["base_url"].rpartition(":")[2])),
            RELAY: replace(relay, fields=self._cookie(path, relay)),
            BEARER: replace(relay, fields=bearer),
            ORIGIN: replace(origin, fields=self._cookie(path, origin)),
            CALL: Way(
                self.port, fields={**bearer, "X-Preview-Token": launched["session_token"]}, call=f"{path}/request"
            ),
        }

    def _launch(self, project: Project, path: str) -> dict[str, Any]:
        """A preview that runs; its log says that it was started warm, where there are templates for it."""
        until = time.monotonic() + _START_S
        while True:
            launched = self.ask("POST", f"{path}/launch", {})
            said = [line["message"] for line in self.ask("GET", f"{path}/logs?source=system")["lines"]]
            # Node has no templates.
            if not project.needs or any(line.startswith("started warm") for line in said):
                return launched
            if time.monotonic() > until:
                raise SystemExit(f"no launch is a warm one: {said}")
            # The first one has had its environment made, and the template is made behind it.
            self.ask("DELETE", path)
            time.sleep(1)

    def _cookie(self, path: str, way: Way) -> dict[str, str]:
        """As a browser has it that has opened the preview there."""
        target = "/" + self.ask("POST", f"{path}/open", {})["url"].partition("://")[2].partition("/")[2]
        with closing(Connection(way)) as connection:
            connection.send(way.request("GET", target))
            head = connection.head(b"303").decode("latin-1")
        said = next(line for line in head.split("\r\n") if line.startswith("set-cookie:"))
        return {"Cookie": said.partition(":")[2].strip().partition(";")[0]}


def environment(service: Service, project: Project) -> str:
    """The interpreter of the environment that the service has made for the project."""
    for one in service.cache.glob("**/bin/python"):
        argv = [str(one), "-c", f"import {project.needs}"]
        if subprocess.run(argv, capture_output=True, check=False).returncode == 0:
            return str(one)
    raise SystemExit(f"there is no environment with {project.needs} in {service.cache}")


def by_hand(opened: ExitStack, service: Service, project: Project, folder: Path) -> dict[str, Way]:
    project.write(folder)
    port, proxy = free_port(), free_port()
    program = environment(service, project) if project.needs else "node"
    if not project.needs:
        subprocess.run(["npm", "install", "--silent", "--prefer-offline", "--no-audit"], cwd=folder, check=True)
    argv = [word.format(program=program, port=port) for word in project.argv]
    opened.enter_context(running(argv, folder, port=port, variables={"PORT": str(port)}))
    ways = {FLOOR: Way(port)}
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        print("nginx is not here (on Debian: apt-get install nginx-light): nothing is compared with it")
        return ways
    folder.chmod(0o755)
    conf = folder / "nginx.conf"
    conf.write_text(_NGINX.format(folder, proxy, port))
    opened.enter_context(running([nginx, "-c", str(conf), "-e", str(folder / "nginx.log")], folder, port=proxy))
    return {**ways, NGINX: Way(proxy)}


def judge(framework: str, values: Mapping[str, Sequence[float]]) -> None:
    """Say whether small answers, one after another, come as soon as is promised: medians over the rounds."""
    hand = statistics.median(values[FLOOR])
    limits = {DIRECT: hand * _DIRECT_RATIO, RELAY: hand + _RELAY_MS, ORIGIN: hand + _RELAY_MS, CALL: hand + _CALL_MS}
    for name, limit in limits.items():
        found = statistics.median(values[name])
        word = "holds " if found <= limit else "MISSED"
        print(f"  {word}  {framework}, {name}: {found:.2f} ms (at most {limit:.2f}, by hand {hand:.2f})")


def measure_framework(name: str, cases: Sequence[str], rounds: int, requests: int) -> dict[str, list[Figure]]:
    project, tables = PROJECTS[name], {}
    with ExitStack() as opened:
        root = Path(opened.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        # nginx's worker is another user.
        root.chmod(0o755)
        for part in ("service", "hand"):
            (root / part).mkdir()
        service = Service(opened, root / "service")
        found = service.preview(project)
        ways = {**by_hand(opened, service, project, root / "hand"), **found}
        for case in cases:
            if case == "websocket" and not project.has_web_socket:
                continue
            for connections in (1, _CROWD):
                # Events and sockets stay open: a call has neither.
                variants = {
                    way: partial(measure, target, case, requests, connections)
                    for way, target in ways.items()
                    if not target.call or case not in ("websocket", "ticks")
                }
                values = interleave(variants, rounds=rounds)
                title = f"{name}, {case}, " + ("one after another" if connections == 1 else f"{connections} at once")
                tables[title] = compare(values, floor=FLOOR, unit="ms")
                report(title, tables[title], beside=FLOOR)
                if case == "small" and connections == 1:
                    judge(name, values)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=320, help="of each way in each round")
    parser.add_argument("--framework", action="append", choices=list(PROJECTS), help="may be repeated; else all")
    parser.add_argument("--case", action="append", choices=list(CASES), help="may be repeated; else all")
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    options = parser.parse_args()
    use_usual_caches()
    tables: dict[str, list[Figure]] = {}
    for name in options.framework or PROJECTS:
        tables |= measure_framework(name, options.case or list(CASES), options.rounds, options.requests)
    save(options.save, tables)


if __name__ == "__main__":
    main()
