"""The fixtures of this room; previews are those of the supervisor's."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "supervisor"))

from supervisor_fixtures import *  # noqa: F403  pytest looks for fixtures here
