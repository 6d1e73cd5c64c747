"""The command line that starts a template in its sandbox, with the environment's files and without any project.

As for a preview (see ``runtime.sandbox.command``), a service that runs as root needs two steps. Bubblewrap sets up the
files with root's privileges; then the keeper makes the namespaces, in which the template's forks can get their own
users. Any other user does both in one step, and all forks run as that user.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from preview.runtime.kernel.linux import memory_file
from preview.runtime.process.spawning import tool
from preview.runtime.sandbox.command import joined, stage_arguments, with_own_proc
from preview.runtime.sandbox.etc import FIRST_UID
from preview.runtime.sandbox.view import View, interpreter_paths, view_arguments

TEMPLATE = Path(__file__).resolve().parent / "template"
# One user for the template, and one for each slot, which is a port. So the template's user is no preview's user.
_OWN_UID = FIRST_UID - 1
_USERS = 1 + 65_536
# The base interpreter of this one: it starts with root's user id, so no package build may have modified its files.
# The files shown with it contain none of the service's packages.
_KEEPER = Path(sys.executable).resolve()
# Only the keeper's own folder is added to the path: no packages of the service, and no folders from variables.
_RUN = "import sys; sys.path.insert(0, {folder!r}); import preview_keeper; preview_keeper.main(sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class TemplateBox:
    """A template's sandbox.

    Attributes:
        view: Visible files; the locations of previews' folders are covered.
        own_users: Whether its forks get their own users, which needs a service that runs as root.
        filter: Compiled system call filter of the template.
    """

    view: View
    own_users: bool
    filter: bytes


def user_of(slot: int) -> int:
    """Return a slot's user id inside the template's user namespace."""
    return FIRST_UID + slot - _OWN_UID


def template_view_paths(environment: Sequence[Path]) -> tuple[Path, ...]:
    """Return paths that a template must see: the environment's folders, the template programs and the interpreter."""
    return (*environment, TEMPLATE, *interpreter_paths(_KEEPER))


@contextmanager
def template_command(
    box: TemplateBox, python: Path, *, life: int, control: int, order: int
) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Yield the command line, and the descriptors that the process must inherit.

    Raises:
        LaunchFailed: bubblewrap or unshare is missing.
        OSError: No file descriptor is free.
    """
    users = f"{_OWN_UID}:{_USERS}" if box.own_users else "-"
    program = [str(python), str(TEMPLATE / "preview_template.py"), str(control), str(order)]
    with memory_file(_arguments(box)) as arguments, memory_file(box.filter) as filter_fd:
        inside = ["-c", _RUN.format(folder=str(TEMPLATE)), str(life), str(filter_fd), users]
        keeper = [str(_KEEPER), "-I", "-S", *inside]
        prefix = with_own_proc() if box.own_users else []
        command = [tool("bwrap", "bubblewrap"), "--args", str(arguments), "--", *prefix, *keeper, "--", *program]
        yield command, (arguments, filter_fd, life, control, order)


def _arguments(box: TemplateBox) -> bytes:
    if box.own_users:
        words = stage_arguments(box.view)
    else:
        namespaces = [f"--unshare-{one}" for one in ("user", "pid", "ipc", "uts", "net")]
        stage = [*namespaces, "--die-with-parent", "--cap-drop", "ALL", "--hostname", "preview"]
        words = [*stage, *view_arguments(box.view), "--proc", "/proc"]
    return joined([*words, "--remount-ro", "/", "--chdir", "/"])
