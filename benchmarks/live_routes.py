"""Does the running application have the endpoints that were read from its source?

``uv run python benchmarks/live_routes.py PROJECTS [--only NAME …] [--keep CACHE] [--all] [--timeout S]``

Each project is copied, read, launched as ``preview run`` would, and asked for every endpoint: path parameters filled
with a sample, the method as it is, no body. A 405 says that the method is not there, a 404 may be the router's or a
handler's: it is compared with the answer to a path that surely does not exist, and so is what OPTIONS answers for both.

yes: the route is there; no: it is not; unclear: the application answers as it does for paths that it does not have.
"""

from __future__ import annotations

import argparse
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import httpx2
import trio
from _measure import RUN_BY
from _projects import copied, each_project, launched, quiet

from preview.core.lifecycle import State
from preview.endpoints import Endpoint, extract
from preview.errors import PreviewError

_PARAMETER = re.compile(r"\{([^}]*)\}")
# What one request may take: a handler that waits for a server that is not there is no reason to wait for long.
_REQUEST_S = 15.0
_UUID = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Reply:
    """An answer, as far as it tells routes apart: its body without the path that it was asked for."""

    status: int
    allow: str = ""
    location: str = ""
    body: str = ""


@dataclass(frozen=True)
class Asked:
    """One endpoint and what came of it; ``there`` is ``yes``, ``no`` or ``unclear``."""

    endpoint: Endpoint
    path: str
    status: int
    there: str


def sample_path(endpoint: Endpoint) -> str:
    """The path with a value for each parameter."""

    def sample(found: re.Match[str]) -> str:
        return _UUID if "uuid" in found[1].lower() else "1"

    return _PARAMETER.sub(sample, endpoint.path)


async def reply(client: httpx2.AsyncClient, method: str, path: str) -> Reply:
    """What the application answers; status 0 for nothing in time."""
    try:
        with trio.fail_after(_REQUEST_S):
            answer = await client.request(method, path)
    except (httpx2.HTTPError, trio.TooSlowError):
        return Reply(0)
    location, body = (text.replace(path, "*") for text in (answer.headers.get("location", ""), answer.text))
    return Reply(answer.status_code, answer.headers.get("allow", ""), location, body)


async def ask_endpoint(client: httpx2.AsyncClient, endpoint: Endpoint) -> Asked:
    path = sample_path(endpoint)
    method = "GET" if endpoint.method == "*" else endpoint.method
    # Behind the path, so that the same routers and guards are passed; deep, so that no other route takes it.
    nowhere = f"{path.rstrip('/')}{f'/{uuid.uuid4().hex}' * 3}"
    got = await reply(client, method, path)
    if got.status == 405:
        return Asked(endpoint, path, got.status, "yes" if endpoint.method == "*" else "no")
    if got.status == 0:
        return Asked(endpoint, path, got.status, "unclear")
    if got != await reply(client, method, nowhere):
        return Asked(endpoint, path, got.status, "yes")
    options, no_options = await reply(client, "OPTIONS", path), await reply(client, "OPTIONS", nowhere)
    if (options.status, options.allow) != (no_options.status, no_options.allow):
        allowed = {word.strip() for word in options.allow.split(",")} - {""}
        return Asked(endpoint, path, got.status, "yes" if not allowed or method in allowed else "no")
    return Asked(endpoint, path, got.status, "no" if got.status == options.status == 404 else "unclear")


async def ask_project(folder: Path, options: argparse.Namespace) -> list[Asked]:
    with copied(folder, options.keep) as (copy, settings):
        endpoints = await trio.to_thread.run_sync(lambda: extract(copy).endpoints)
        try:
            async with launched(copy, settings, options.timeout) as preview:
                if preview.record.state is not State.RUNNING:
                    print(f"{folder.name:<22} not started: {preview.record.reason or 'too slow'}")
                    return []
                host, port = preview.socket_address
                async with httpx2.AsyncClient(base_url=f"http://{host}:{port}", timeout=None) as client:
                    asked = [await ask_endpoint(client, one) for one in endpoints]
        except PreviewError as error:
            print(f"{folder.name:<22} not started: {error.message}")
            return []
    counted = Counter(one.there for one in asked)
    print(f"{folder.name:<22} {counted['yes']} there, {counted['no']} not, {counted['unclear']} unclear")
    for one in asked:
        if options.all or one.there != "yes":
            print(f"      {one.there:<8} {one.status or 'none':>4}  {one.endpoint.method:<7} {one.path}")
    return asked


async def measure(options: argparse.Namespace) -> None:
    quiet()
    counted: Counter[str] = Counter()
    for folder in each_project(options.projects, options.only):
        counted.update(one.there for one in await ask_project(folder, options))
    total = sum(counted.values())
    print(
        f"all: {counted['yes']} of {total} are there, {counted['no']} are not, {counted['unclear']} are unclear, "
        f"as {RUN_BY}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("projects", type=Path)
    parser.add_argument("--only", nargs="+", default=(), help="names of projects")
    parser.add_argument("--keep", type=Path, default=None, help="a cache folder that stays")
    parser.add_argument("--all", action="store_true", help="show each endpoint, not only those that are not there")
    parser.add_argument("--timeout", type=float, default=420, help="seconds for one launch, environment included")
    trio.run(measure, parser.parse_args())


if __name__ == "__main__":
    main()
