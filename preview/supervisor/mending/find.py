"""Choice of one mend for a failed start. Pure."""

from __future__ import annotations

from collections.abc import Container

from preview.supervisor.mending.folders import mend_folders
from preview.supervisor.mending.model import FailedStart, Mend
from preview.supervisor.mending.modules import mend_modules
from preview.supervisor.mending.variables import mend_variables


def find_mend(failed: FailedStart, tried: Container[object] = ()) -> Mend | None:
    """Return the first mend that the last lines ask for; None if there is none.

    Args:
        failed: The failed start.
        tried: Changes of earlier mends, which did not help.
    """
    for find in (mend_modules, mend_variables, mend_folders):
        mend = find(failed)
        if mend is not None and mend.changes not in tried:
            return mend
    return None
