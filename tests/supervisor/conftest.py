"""The fixtures of this room."""

from supervisor_fixtures import *  # noqa: F403  pytest looks for fixtures here
