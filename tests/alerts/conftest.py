"""The fixtures of this room; previews are those of the supervisor's."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "supervisor"))

from supervisor_fixtures import make_settings, shared_cache_dir

__all__ = ["make_settings", "shared_cache_dir"]
