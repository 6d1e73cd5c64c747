"""The command line that starts a template in its sandbox, with the environment's files and without any project.

As for a preview (see ``runtime.sandbox.command``), a service that runs as root needs two steps. Bubblewrap sets up the
files with root's privileges; then the keeper makes the namespaces, in which the template's forks can get their own
users. Any other user does both in one step, and all forks run as that user.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from preview.runtime.kernel.linux import memory_file
from preview.runtime.process.spawning import tool
from preview.runtime.sandbox.command import INSIDE_UID, joined, stage_arguments, with_own_proc
from preview.runtime.sandbox.users import users_here
from preview.runtime.sandbox.view import BASE_PYTHON, View, interpreter_paths, view_arguments

TEMPLATE = Path(__file__).resolve().parent / "template"
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


def template_view_paths(environment: Sequence[Path]) -> tuple[Path, ...]:
    """Return paths that a template must see: the environment's folders, the template programs and the interpreter."""
    return (*environment, TEMPLATE, *interpreter_paths(BASE_PYTHON))


@contextmanager
def template_command(
    box: TemplateBox, python: Path, *, life: int, control: int, order: int
) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    """Yield the command line, and the descriptors that the process must inherit.

    Raises:
        LaunchFailed: bubblewrap or unshare is missing.
        OSError: No file descriptor is free.
    """
    users = users_here() if box.own_users else None
    given = "-" if users is None else f"{users.template}:{users.count}"
    program = [str(python), str(TEMPLATE / "preview_template.py"), str(control), str(order)]
    with memory_file(_arguments(box)) as arguments, memory_file(box.filter) as filter_fd:
        inside = ["-c", _RUN.format(folder=str(TEMPLATE)), str(life), str(filter_fd), given]
        # It starts with root's user id: no package build may have modified its interpreter's files, and the files
        # shown with it contain none of the service's packages.
        keeper = [str(BASE_PYTHON), "-I", "-S", *inside]
        prefix = with_own_proc() if box.own_users else []
        command = [tool("bwrap", "bubblewrap"), "--args", str(arguments), "--", *prefix, *keeper, "--", *program]
        yield command, (arguments, filter_fd, life, control, order)


def _arguments(box: TemplateBox) -> bytes:
    if box.own_users:
        words = stage_arguments(box.view)
    else:
        namespaces = [f"--unshare-{one}" for one in ("user", "pid", "ipc", "uts", "net")]
        stage = [*namespaces, "--die-with-parent", "--cap-drop", "ALL", "--hostname", "preview"]
        # Root could not be mapped again for the forks, without capabilities.
        stage += ["--uid", INSIDE_UID, "--gid", INSIDE_UID]
        words = [*stage, *view_arguments(box.view), "--proc", "/proc"]
    return joined([*words, "--remount-ro", "/", "--chdir", "/"])
