"""Processes in namespaces of their own, by bubblewrap."""

from preview.runtime.sandbox.bridge import bridge_needs, handout_prefix
from preview.runtime.sandbox.command import Sandbox, sandbox_command
from preview.runtime.sandbox.filter import check_extra_calls, compile_filter
from preview.runtime.sandbox.loopback import open_handout
from preview.runtime.sandbox.probe import probe_sandbox
from preview.runtime.sandbox.refusals import Refusal
from preview.runtime.sandbox.relay import accept_all, join
from preview.runtime.sandbox.runtime import SandboxRuntime
from preview.runtime.sandbox.socket_filter import refuse_fenced
from preview.runtime.sandbox.view import View, interpreter_paths

__all__ = [
    "Refusal",
    "Sandbox",
    "SandboxRuntime",
    "View",
    "accept_all",
    "bridge_needs",
    "check_extra_calls",
    "compile_filter",
    "handout_prefix",
    "interpreter_paths",
    "join",
    "open_handout",
    "probe_sandbox",
    "refuse_fenced",
    "sandbox_command",
]
