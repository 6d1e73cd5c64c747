"""The fixtures of this room."""

from worker_fixtures import *  # noqa: F403  pytest looks for fixtures here
