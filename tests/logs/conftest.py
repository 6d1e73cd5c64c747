"""The fixtures of this room."""

from archive_kit import bucket, logs  # noqa: F401  pytest looks for fixtures here
from log_fixtures import *  # noqa: F403  pytest looks for fixtures here
