"""Processes in their own namespaces, made by bubblewrap."""

from preview.runtime.sandbox.command import Sandbox, sandbox_command
from preview.runtime.sandbox.filter import check_extra_calls, compile_filter
from preview.runtime.sandbox.port_forwarding import accept_all, bridge_needs, handout_prefix, join, open_handout
from preview.runtime.sandbox.probe import Refusal, open_broker_if_needed, probe_sandbox
from preview.runtime.sandbox.runtime import SandboxRuntime
from preview.runtime.sandbox.socket_filter import refuse_fenced
from preview.runtime.sandbox.users import NoRange, advise_own_users, why_no_range
from preview.runtime.sandbox.view import View, interpreter_paths

__all__ = [
    "NoRange",
    "Refusal",
    "Sandbox",
    "SandboxRuntime",
    "View",
    "accept_all",
    "advise_own_users",
    "bridge_needs",
    "check_extra_calls",
    "compile_filter",
    "handout_prefix",
    "interpreter_paths",
    "join",
    "open_broker_if_needed",
    "open_handout",
    "probe_sandbox",
    "refuse_fenced",
    "sandbox_command",
    "why_no_range",
]
