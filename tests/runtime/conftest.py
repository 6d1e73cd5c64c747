"""The fixtures of this room."""

from runtime_fixtures import *  # noqa: F403  pytest looks for fixtures here
