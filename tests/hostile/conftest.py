"""The fixtures of this room."""

from hostile_fixtures import *  # noqa: F403  pytest looks for fixtures here
