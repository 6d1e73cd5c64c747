"""Whose a preview's files are: with a service that runs as root, each preview has a user of its own.

The number is counted up from the preview's port. Holding the port is holding the number, so no two previews of a
machine share one, and no list of who has which is kept. Two services whose previews listen on different addresses
(``PREVIEW_PREVIEW_HOST``) may hold one port each, and with it one number; namespaces keep these previews apart, and
neither service's folders are shown to the other's. The range is one that nothing else uses (systemd.io/UIDS-GIDS:
1879048192 to 2147483647 are unused); in a container that has few numbers all previews are ``nobody``, and namespaces
keep them apart.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

FIRST_UID = 1_900_000_000
NOBODY = 65534


def give(folders: Sequence[Path], uid: int) -> None:
    """Make the folders and all in them the user's, unless they are already; links themselves, never what they lead to.

    Blocks on the disk: call it in a thread. Call it before anything of the preview runs: what is in the folders by then
    was written by the service, and no hard link leads out of them.

    Raises:
        OSError: It cannot be done.
    """
    for folder in folders:
        if folder.lstat().st_uid == uid:
            continue
        for _root, names, files, descriptor in os.fwalk(folder, follow_symlinks=False):
            for name in (*names, *files):
                os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
        # Last: the folder's owner says that all of it is done.
        os.chown(folder, uid, uid, follow_symlinks=False)
