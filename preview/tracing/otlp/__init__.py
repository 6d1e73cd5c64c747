"""A receiver of OTLP/HTTP, for projects that use OpenTelemetry; reachable from the preview's sandbox alone."""

from preview.tracing.otlp.receiver import OTLP_PORT, OtlpReceiver

__all__ = ["OTLP_PORT", "OtlpReceiver"]
