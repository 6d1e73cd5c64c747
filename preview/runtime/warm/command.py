"""The command line that puts a template into its sandbox: what every project of an environment may see, and no project.

As for a preview (see ``runtime.sandbox.command``), a service that runs as root goes in two steps: bubblewrap shows the
files with root's rights, and the keeper makes the namespaces, in which it may give users to the template's forks. Any
other user does both in one step, and all forks are that user.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from preview.runtime.kernel.linux import memory_file
from preview.runtime.process.spawning import tool
from preview.runtime.sandbox.etc import FIRST_UID
from preview.runtime.sandbox.view import View, interpreter_paths, view_arguments

TEMPLATE = Path(__file__).resolve().parent / "template"
# The template's own, and one for each slot, which is a port: the template is nobody that a preview is.
_OWN_UID = FIRST_UID - 1
_USERS = 1 + 65_536
# The interpreter that this one was made from: nobody's build has touched it, as it begins with root's user number; and
# what it is shown with are no packages of the service's.
_KEEPER = Path(sys.executable).resolve()
# Its own programs are found beside it, and nothing else is: no package of the service's, no variable's folder.
_RUN = "import sys; sys.path.insert(0, {folder!r}); import preview_keeper; preview_keeper.main(sys.argv[1:])"


@dataclass(frozen=True, slots=True)
class TemplateBox:
    """A template's sandbox.

    Attributes:
        view: What it sees; the places of previews' folders are covered.
        own_users: Whether its forks get users of their own (a service that runs as root).
        filter: Of system calls, compiled for a template.
    """

    view: View
    own_users: bool
    filter: bytes


def user_of(slot: int) -> int:
    """Return the user number of a slot for the template."""
    return FIRST_UID + slot - _OWN_UID


def template_view_paths(environment: Sequence[Path]) -> tuple[Path, ...]:
    """Return paths that a template must see: the environment's folders and its launcher."""
    return (*environment, TEMPLATE, *interpreter_paths(_KEEPER))


@contextmanager
def template_command(
    box: TemplateBox, python: Path, *, life: int, control: int, order: int
) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Provide the command line, and the descriptors to inherit.

    Raises:
        LaunchFailed: bubblewrap is missing.
        OSError: No descriptor is left.
    """
    users = f"{_OWN_UID}:{_USERS}" if box.own_users else "-"
    program = [str(python), str(TEMPLATE / "preview_template.py"), str(control), str(order)]
    with memory_file(_arguments(box)) as arguments, memory_file(box.filter) as filter_fd:
        inside = ["-c", _RUN.format(folder=str(TEMPLATE)), str(life), str(filter_fd), users]
        keeper = [str(_KEEPER), "-I", "-S", *inside]
        command = [tool("bwrap", "bubblewrap"), "--args", str(arguments), "--", *keeper, "--", *program]
        yield command, (arguments, filter_fd, life, control, order)


def _arguments(box: TemplateBox) -> bytes:
    stage = ["--unshare-pid", "--die-with-parent", "--cap-drop", "ALL"]
    if box.own_users:
        # /proc is the machine's until the keeper covers it by that of its own namespace.
        stage += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        words = [*stage, *view_arguments(box.view), "--bind", "/proc", "/proc"]
    else:
        stage += [f"--unshare-{one}" for one in ("user", "ipc", "uts", "net")]
        words = [*stage, "--hostname", "preview", *view_arguments(box.view), "--proc", "/proc"]
    return b"".join(os.fsencode(one) + b"\0" for one in (*words, "--remount-ro", "/", "--chdir", "/"))
