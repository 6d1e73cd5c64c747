"""A real OpenTelemetry collector between the service and what stores its telemetry."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from http_kit import open_events, open_world
from otlp_sink import open_collector, open_sink

from preview.http.otlp import exporter

BROKEN = {
    "main.py": "print('starting', flush=True)\nraise SystemExit(3)\n",
    "preview.toml": '[start]\ncommand = "python main.py"\n',
}


async def test_a_real_collector_takes_traces_metrics_logs_and_audit_and_passes_them_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rotel", reason="no package for this Python or this C library")
    monkeypatch.setattr(exporter, "_EACH_S", 0.1)
    async with (
        open_sink() as sink,
        open_collector(tmp_path, sink.url) as collector,
        open_world(tmp_path / "service", otlp_endpoint=collector, log_shipping="otlp:") as world,
    ):
        generation = await world.keep(BROKEN)
        await world.launch(generation, wait_s=None)
        async with open_events(world, generation) as stream:
            await stream.until_message("starting")
        with trio.fail_after(60):
            while not (
                {"launch", "launch: claim", "launch: plan"} <= set(sink.span_names())
                and "preview_previews" in sink.metric_names()
                and "starting" in sink.log_texts("preview.output")
                and any("launched" in text for text in sink.log_texts("preview.audit"))
            ):
                await sink.next()
