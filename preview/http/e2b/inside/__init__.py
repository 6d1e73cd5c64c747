"""Programs of the sandboxes themselves: they run inside, as the sandbox's user, and import nothing of the service."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
"""The folder that a sandbox shows for them."""

__all__ = ["FOLDER"]
