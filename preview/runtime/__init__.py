"""Start, confine, measure and end the process tree of a preview."""

from preview.runtime.cold import ColdStarts
from preview.runtime.disk_use import DiskUse, measure
from preview.runtime.inbound import close_inbound, seal
from preview.runtime.interface import (
    CONTROL_PLACEHOLDER,
    FD_PLACEHOLDER,
    LOG_PLACEHOLDER,
    Excess,
    Exit,
    Held,
    InnerAddress,
    InnerSocket,
    Limits,
    NoSnapshot,
    ProcessIdentity,
    ProcessSpec,
    RunningProcess,
    Runtime,
    Serve,
    Snapshot,
    SpeculativeProcess,
    Usage,
    WarmStart,
)
from preview.runtime.isolation_levels import IsolationLevel, IsolationSupport, PlainRuntime, open_ladder
from preview.runtime.kernel.linux import beside, boot_id, child_subreaper, many_open_files
from preview.runtime.listener import bind_in_range, hold_without_listening, listen_again, listen_at_last
from preview.runtime.local_socket import open_local_socket
from preview.runtime.preview_limits import limits_of
from preview.runtime.process.ending import end_tree
from preview.runtime.process.freezing import Freeze
from preview.runtime.run_image import Checked, ChecksInside, ConnectsContainers, RunImage, RunNetwork
from preview.runtime.sandbox import Refusal, SandboxRuntime, probe_sandbox, refuse_fenced
from preview.runtime.sandbox.port_forwarding import join
from preview.runtime.sandbox.view import BASE_PYTHON, interpreter_paths

__all__ = [
    "BASE_PYTHON",
    "CONTROL_PLACEHOLDER",
    "FD_PLACEHOLDER",
    "LOG_PLACEHOLDER",
    "Checked",
    "ChecksInside",
    "ColdStarts",
    "ConnectsContainers",
    "DiskUse",
    "Excess",
    "Exit",
    "Freeze",
    "Held",
    "InnerAddress",
    "InnerSocket",
    "IsolationLevel",
    "IsolationSupport",
    "Limits",
    "NoSnapshot",
    "PlainRuntime",
    "ProcessIdentity",
    "ProcessSpec",
    "Refusal",
    "RunImage",
    "RunNetwork",
    "RunningProcess",
    "Runtime",
    "SandboxRuntime",
    "Serve",
    "Snapshot",
    "SpeculativeProcess",
    "Usage",
    "WarmStart",
    "beside",
    "bind_in_range",
    "boot_id",
    "child_subreaper",
    "close_inbound",
    "end_tree",
    "hold_without_listening",
    "interpreter_paths",
    "join",
    "limits_of",
    "listen_again",
    "listen_at_last",
    "many_open_files",
    "measure",
    "open_ladder",
    "open_local_socket",
    "probe_sandbox",
    "refuse_fenced",
    "seal",
]
