"""Mends of failed starts: what the program's last lines say is missing, and what is added for another attempt."""

from preview.supervisor.mending.find import find_mend
from preview.supervisor.mending.folders import with_folders
from preview.supervisor.mending.mender import Mender
from preview.supervisor.mending.model import FailedStart, Mend

__all__ = ["FailedStart", "Mend", "Mender", "find_mend", "with_folders"]
