"""One running process tree behind one interface."""

from preview.runtime.interface import (
    FD_PLACEHOLDER,
    Exit,
    Limits,
    ProcessIdentity,
    ProcessSpec,
    RunningProcess,
    Runtime,
    Usage,
)
from preview.runtime.linux import child_subreaper, many_open_files
from preview.runtime.listener import bind_in_range, hold_without_listening
from preview.runtime.plain import PlainRuntime
from preview.runtime.proctree import end_tree

__all__ = [
    "FD_PLACEHOLDER",
    "Exit",
    "Limits",
    "PlainRuntime",
    "ProcessIdentity",
    "ProcessSpec",
    "RunningProcess",
    "Runtime",
    "Usage",
    "bind_in_range",
    "child_subreaper",
    "end_tree",
    "hold_without_listening",
    "many_open_files",
]
