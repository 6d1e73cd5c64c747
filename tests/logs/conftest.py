"""The fixtures of this room."""

from log_fixtures import *  # noqa: F403  pytest looks for fixtures here
