"""Following requests when the service closes each stream at once."""

from __future__ import annotations

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
