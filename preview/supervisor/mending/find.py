"""Choice of one mend for a failed start. Pure."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from preview.supervisor.mending.container_folder import mend_container_folder
from preview.supervisor.mending.folders import mend_absolute_folder, mend_folders, mend_locale, mend_named_folders
from preview.supervisor.mending.links import mend_examples, mend_links
from preview.supervisor.mending.model import FailedStart, Mend
from preview.supervisor.mending.modules import mend_modules
from preview.supervisor.mending.paths import mend_paths
from preview.supervisor.mending.refusals import mend_dispensable, mend_extra_values, mend_ormconfig, mend_unwanted
from preview.supervisor.mending.servers import mend_server
from preview.supervisor.mending.variables import mend_variables
from preview.supervisor.mending.versions import mend_date, mend_versions

_MENDS: Final = (
    mend_server, mend_versions, mend_paths, mend_container_folder, mend_absolute_folder, mend_links, mend_modules,
    mend_ormconfig, mend_unwanted, mend_named_folders, mend_examples, mend_extra_values, mend_variables, mend_folders,
    mend_locale, mend_date, mend_dispensable,
)  # fmt: skip


def find_mend(failed: FailedStart, tried: Container[object] = ()) -> Mend | None:
    """Return the first mend that the last lines ask for; None if there is none.

    Args:
        failed: The failed start.
        tried: Changes of earlier mends, which did not help.
    """
    for find in _MENDS:
        mend = find(failed)
        if mend is not None and mend.changes not in tried:
            return mend
    return None
