"""An ordinary user's range of ids for ``serve``: as root of this range, it gives each preview a user of its own.

``unshare`` and newuidmap(1) make the user namespace and execute the same command in it. Pid, terminal, arguments, open
files and supplementary groups stay. For the machine the process is still its user. Three things are different inside,
and are therefore done outside: the settings file may belong to the machine's root, who has no id inside. A browser
refuses to run as root. The names of the user's home and of its PostgreSQL role come from the environment.
"""

from __future__ import annotations

import json
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import webbrowser
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preview.core.env_file import EnvFile
from preview.core.key_file import make_private_folder
from preview.runtime.reading import closed_to_previews
from preview.runtime.sandbox import NoRange, why_no_range
from preview.settings import Settings

ENTER = ("unshare", "--map-root-user", "--map-auto", "--mount", "--")
# Variable of the command that runs inside: a descriptor. Everything of the same user can read a process's variables.
_OUTSIDE = "_PREVIEW_OUTSIDE"
# A disk of another machine may refuse other owners; a sandbox may be refused within a second user namespace.
_TRY = """
for folder; do chown 65535:65535 "$folder" && chown 0:0 "$folder" || exit; done
exec bwrap --die-with-parent --unshare-all --ro-bind / / --proc /proc --dev /dev -- true
"""
# It takes 50 ms on a busy machine.
_TRY_S = 10.0
_MOST_CHARACTERS = 200
# The shell ends at once, so the service is not the parent.
_IN_BACKGROUND = 'exec 3<&0; "$@" <&3 3<&- &'
_OPEN = "import sys, webbrowser; link = sys.stdin.readline().strip(); link and webbrowser.open(link)"


@dataclass(frozen=True, slots=True)
class Outside:
    """Things that the command has prepared before it entered the range.

    Attributes:
        file: The settings file, already read.
        browser: Descriptor of a pipe to a process outside that opens a link; None without ``--open``.
    """

    file: EnvFile | None
    browser: int | None = None

    def open_link(self, link: str) -> None:
        """Open the link in the user's browser, which does not run as root."""
        if self.browser is None:
            webbrowser.open(link)
            return
        with os.fdopen(self.browser, "w") as pipe:
            pipe.write(f"{link}\n")


def read_outside() -> Outside | None:
    """Return what this command has prepared outside; None if it has entered no range."""
    text = os.environ.pop(_OUTSIDE, None)
    if text is None:
        return None
    with os.fdopen(int(text), "rb") as held:
        told: dict[str, Any] = json.loads(held.read())
    file, browser = told["file"], told["browser"]
    if browser is not None:
        os.set_inheritable(browser, False)
    return Outside(file and EnvFile(Path(file["path"]), file["values"], file["skipped"]), browser)


def try_range(settings: Settings) -> NoRange | None:
    """Return why this process cannot serve as root of a range of ids, by trying; None if it can.

    Creates the data folder if necessary: its disk, and that of the previews' storage, must accept other owners.
    """
    if os.geteuid() == 0:
        return NoRange("the service runs as root")
    if (lack := why_no_range()) is not None:
        return lack
    if shutil.which("bwrap") is None:
        return NoRange("the program bwrap is not installed")
    if (closed := closed_to_previews()) is not None:
        return NoRange(f"other users cannot read {closed}", f"`chmod -R go+rX {shlex.quote(str(closed))}`")
    try:
        with ExitStack() as stack:
            folders = [
                stack.enter_context(tempfile.TemporaryDirectory(prefix="range-", dir=one)) for one in _disks(settings)
            ]
            done = subprocess.run(
                [*ENTER, "/bin/sh", "-c", _TRY, "sh", *folders],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_TRY_S,
                check=False,
            )
    except (OSError, subprocess.SubprocessError) as error:
        return NoRange(f"the range of ids cannot be tested ({error})")
    if done.returncode == 0:
        return None
    said = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[0][:_MOST_CHARACTERS]
    advice = "install util-linux 2.38 or newer" if "map-auto" in said else "see docs/containers.md"
    return NoRange(f"the range of ids cannot be used ({said})", advice)


def _disks(settings: Settings) -> list[Path]:
    """Return a folder on the data folder's disk, and one on the storage's if that is another.

    Raises:
        OSError: The data folder cannot be created.
    """
    make_private_folder(settings.data_dir)
    # A service makes this folder. ``doctor`` must leave nothing in a data folder, so it takes the folder itself.
    folder = settings.data_dir / "sandbox"
    folder = folder if folder.is_dir() else settings.data_dir
    storage = settings.resolved_db_path.absolute()
    there = next(one for one in (storage, *storage.parents) if one.exists())
    return [folder] if there.stat().st_dev == folder.stat().st_dev else [folder, there]


def enter_range(settings: Settings, file: EnvFile | None, *, opens_browser: bool) -> NoRange:
    """Execute this command again as root of the user's range of ids; return only where that is not possible.

    Call it after the scope has been entered, because D-Bus checks the user, and before the data folder is held.
    """
    if sys.argv[1:2] != ["serve"]:
        return NoRange("this process does not belong to the command")
    lack = try_range(settings)
    return lack if lack is not None else _execute(file, opens_browser=opens_browser)


def _execute(file: EnvFile | None, *, opens_browser: bool) -> NoRange:
    """Replace this process; return only if the kernel refuses."""
    with ExitStack() as held:
        try:
            browser = _start_opener() if opens_browser else None
            if browser is not None:
                held.callback(os.close, browser)
            told = {
                "file": file and {"path": str(file.path), "values": dict(file.values), "skipped": file.skipped},
                "browser": browser,
            }
            outside = held.enter_context(os.fdopen(os.memfd_create("outside", 0), "wb", buffering=0))
            outside.write(json.dumps(told).encode())
            outside.seek(0)
            variables = {**_of_user(), **os.environ, _OUTSIDE: str(outside.fileno())}
            sys.stdout.flush()
            sys.stderr.flush()
            os.execvpe(ENTER[0], [*ENTER, sys.executable, *sys.orig_argv[1:]], variables)  # noqa: S606  no shell needed
        except OSError as error:
            return NoRange(f"the command cannot be run in a user namespace ({error})")


def _of_user() -> Mapping[str, str]:
    """Return variables for what would be root's inside."""
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        return {}
    return {"HOME": user.pw_dir, "PGUSER": user.pw_name}


def _start_opener() -> int:
    """Start a process that opens the link which it reads from a pipe; return the pipe's other end."""
    reading, writing = os.pipe()
    try:
        subprocess.run(
            ["/bin/sh", "-c", _IN_BACKGROUND, "sh", sys.executable, "-I", "-c", _OPEN],
            stdin=reading,
            start_new_session=True,
            check=False,
        )
    finally:
        os.close(reading)
    os.set_inheritable(writing, True)
    return writing
