"""The fixtures of this room."""

from launch_fixtures import *  # noqa: F403  pytest looks for fixtures here
