"""Relayed requests in the access log and among the counters: as those of the ordinary way."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypercorn.config import Config

from preview.http.core.guard import AccessLogger
from preview.http.relay.responses import telling
from preview.proxy.admission import RequestHead

HEAD = RequestHead("GET", b"/a?token=secret", [(b"user-agent", b"x")], "preview-x.localhost", "http", "::1", "::1")


@pytest.mark.parametrize(("status", "shown", "counted"), [(200, "200 5", 1), (0, "- -", 0)])
def test_each_request_has_a_line_and_each_answer_counts(
    status: int, shown: str, counted: int, caplog: pytest.LogCaptureFixture
) -> None:
    config: Any = Config()
    config.logger_class = AccessLogger
    config.accesslog = logging.getLogger("test_http_relay_telling")
    config.access_log_format = '"%(r)s" %(s)s %(b)s'
    counts: list[tuple[object, ...]] = []
    with caplog.at_level(logging.INFO, logger="test_http_relay_telling"):
        telling(lambda *given: counts.append(given), config)(HEAD.method, lambda: HEAD, status, 5, 0.5)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "test_http_relay_telling"]
    assert line == f'"GET /a 1.1" {shown}'
    assert counts == [("preview_relayed", "GET", status, 0.5)] * counted
