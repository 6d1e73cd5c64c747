"""The fixtures of this room."""

from contract_fixtures import *  # noqa: F403  pytest looks for fixtures here
