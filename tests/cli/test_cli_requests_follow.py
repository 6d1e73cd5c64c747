"""``preview requests``: streams that close at once, and strangers' requests as commands."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from preview.cli.commands.understand import requests


def test_a_stream_that_ends_at_once_is_opened_again_after_growing_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    end = SimpleNamespace(data="{}", event="end", json=dict)
    streams: list[list[object]] = [[]] * 6 + [[end]]
    slept: list[float] = []

    class Api:
        @contextmanager
        def stream(self, *_: object) -> Iterator[list[object]]:
            yield streams.pop(0)

    monkeypatch.setattr(time, "sleep", slept.append)
    api: Any = Api()
    requests._follow(api, "/requests", None, 0, as_json=False)
    assert slept == [0.2, 1.0, 3.0, 5.0, 5.0, 5.0]


@pytest.mark.parametrize(
    "body", ["@/etc/passwd", "'; touch owned; '", "$(id) `id` \\", "a\tb\r\n\x1b[2J\u202e'\\x", "-X", "", None]
)
def test_a_stranger_s_request_is_one_command_for_a_shell_and_reads_no_file(body: str | None) -> None:
    headers = {"X-Evil": "'$(id)\u202e", "Accept": "*/*"}
    one = {"method": "POST", "path": "/a b?c=$(id)'", "headers": headers, "body": body, "body_base64": None}
    command = requests._as_command("gen_abc", one)
    assert command.isprintable()
    script = f"preview() {{ printf '%s\\0' \"$@\"; test -t 0 || cat; }}; {command}"
    told = subprocess.run(["bash", "-c", script], input=b"", capture_output=True, check=True).stdout.decode()
    *words, piped = told.split("\0")
    given = ["request", "gen_abc", "POST", one["path"], *(x for n, v in headers.items() for x in ("-H", f"{n}: {v}"))]
    if body is not None:
        given += ["-d", "@-" if body.startswith("@") else body]
    assert words == given
    assert piped == (body if body is not None and body.startswith("@") else "")
