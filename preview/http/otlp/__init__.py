"""Export of the service's own traces, metrics and log by OTLP over HTTP; needs the extra ``otel``."""

from __future__ import annotations

__all__: list[str] = []
