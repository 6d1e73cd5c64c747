"""A project's files as text: found, read and parsed within limits, never run."""

from preview.sources.files import Sources, is_environment, is_environment_at, without_collector

__all__ = ["Sources", "is_environment", "is_environment_at", "without_collector"]
