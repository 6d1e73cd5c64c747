"""The report on a preview that failed, or in which requests fail: what ended it, the cause, and what to do. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from preview.core.lifecycle import State
from preview.logs.failures.model import FailureRecord
from preview.storage.tables import PreviewRecord
from preview.supervisor.diagnosis.diagnose import diagnose
from preview.supervisor.preview.confinement import Reached

_SIGNALS: Mapping[int, str] = MappingProxyType(
    {
        signal.SIGKILL: "It was killed (SIGKILL), by the system or by the service.",
        signal.SIGTERM: "It was asked to terminate (SIGTERM).",
        signal.SIGSEGV: "It read memory that is not its own (SIGSEGV): a bug in a compiled package.",
        signal.SIGABRT: "It aborted (SIGABRT), usually because of a compiled package.",
        signal.SIGILL: "It ran an instruction that this processor lacks (SIGILL).",
        signal.SIGBUS: "It read memory that could not be provided (SIGBUS).",
        signal.SIGSYS: "It made a system call that previews may not make (SIGSYS).",
        signal.SIGXFSZ: "It wrote a file larger than the file size limit (SIGXFSZ).",
    }
)
_CODES: Mapping[int, str] = MappingProxyType(
    {
        0: "It exited by itself; a server should keep running.",
        1: "It ended with exit code 1: usually an uncaught exception.",
        126: "It could not be executed (exit code 126).",
        127: "Its command was not found (exit code 127).",
        137: "It was killed (exit code 137), usually because it used too much memory.",
        143: "It was asked to terminate (exit code 143).",
    }
)
_ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "missing_module": "Add the package to the project's requirements, or correct the import.",
        "missing_name": "Add the name to the module, or correct the import.",
        "missing_key": "Set the key before the line that reads it.",
        "circular_import": "Move one of the two imports into the function that needs it.",
        "missing_variable": "Set the variable under [env] in preview.toml, or in the launch request.",
        "missing_service": "Start the service that it needs, or set its address.",
        "service_refused": "Correct the user, password or database in the service's address.",
        "missing_file": "Add the file to the project, or correct its path.",
        "missing_table": "Add the command that makes the tables as a step in preview.toml.",
        "missing_library": "Use a package that provides this library, or another image.",
        "missing_engine": "Let the service's machine download Prisma's engine.",
        "python_version": "Set PREVIEW_ENVIRONMENT_PYTHON to the Python that the project requires.",
        "other_version": "Pin the version that the project is written for.",
        "syntax_error": "Correct the syntax at the line that is shown.",
        "too_many_connections": "Open fewer connections, with smaller or shared pools.",
        "out_of_memory": "Use less memory at once, or raise PREVIEW_MEMORY_LIMIT_MB.",
        "port_in_use": "Listen on the port in PORT, and once only.",
        "port_refused": "Listen on the port in PORT.",
        "wrong_database": "Set the database variable to a server of the kind that the SQL is for.",
        "wrong_dialect": "Set the database variables to a server of the kind that the project requires.",
        "wrong_setting": "Correct the value of the setting.",
        "network": "Launch with a network that reaches this address, if the operator allows it.",
        "system_call_refused": "Avoid the call, or ask the operator to allow it.",
    }
)
_LIMITS: Mapping[str, str] = MappingProxyType(
    {
        "memory": "Use less memory at once, or raise PREVIEW_MEMORY_LIMIT_MB.",
        "cpu": "Do less work at once, or raise PREVIEW_CPU_LIMIT.",
        "processes": "Start fewer processes and threads, or raise PREVIEW_MAX_PROCESSES.",
        "disk": "Write fewer files, or raise PREVIEW_DISK_LIMIT_MB.",
        "output": "Print less: output is read more slowly above PREVIEW_OUTPUT_BYTES_PER_S.",
    }
)


@dataclass(frozen=True, slots=True)
class Report:
    """Facts about a failed preview.

    Attributes:
        summary: One sentence for people.
        reason: One word for programs, such as ``missing_module``, ``limit``, ``exception``, ``exit``; None if nothing
            failed.
        exit_words: How the process ended, in words; None if it did not end, or never ran.
        advice: What to do, the most telling first.
    """

    summary: str
    reason: str | None
    exit_words: str | None
    advice: tuple[str, ...]


def report_on(
    record: PreviewRecord, reached: Sequence[Reached], lines: Sequence[str], failures: Sequence[FailureRecord]
) -> Report:
    """Return the report on a preview.

    Args:
        record: The preview.
        reached: Limits that it has reached.
        lines: Its last lines, oldest first, without those of the service.
        failures: Its failure records, the newest first.
    """
    has_failed = record.state is State.FAILED
    found = diagnose(lines) if has_failed else None
    newest = next(iter(failures), None)
    reason = found.reason if found is not None else _reason(record, reached, newest)
    advice = [] if found is None else [_ADVICE.get(found.reason, found.message)]
    if newest is not None and newest.frame is not None:
        place = f" in {newest.frame.function}" if newest.frame.function else ""
        advice.append(f"Look at {newest.frame.path}:{newest.frame.line}{place}.")
    advice += [_LIMITS[one.limit] for one in reached if one.limit in _LIMITS]
    if has_failed and not advice:
        advice.append("Read the last lines of its log.")
    return Report(_summary(record, newest), reason, exit_in_words(record), tuple(dict.fromkeys(advice)))


def _reason(record: PreviewRecord, reached: Sequence[Reached], newest: FailureRecord | None) -> str | None:
    if record.state is State.FAILED:
        if any(one.limit in ("memory", "disk") for one in reached):
            return "limit"
        if newest is not None:
            return "exception"
        return "exit" if record.exit_code is not None or record.exit_signal is not None else "launch"
    return None if newest is None else "exception"


def _summary(record: PreviewRecord, newest: FailureRecord | None) -> str:
    if record.state is State.FAILED:
        return record.reason or "The preview failed."
    if newest is None:
        return f"The preview is {record.state}, and no failure was found in its log."
    said = newest.message.split("\n")[0][:200]
    error = f"{newest.type}: {said}" if said else newest.type
    return f"The preview is {record.state}; its newest failure is {error}"


def exit_in_words(record: PreviewRecord) -> str | None:
    """Return how a preview's process ended, in a sentence; None if it did not end, or never ran."""
    if record.exit_signal is not None:
        return _SIGNALS.get(record.exit_signal, f"It was ended by signal {record.exit_signal}.")
    if record.exit_code is None:
        return None
    if record.exit_code > 128:
        named = _SIGNALS.get(record.exit_code - 128)
        return _CODES.get(record.exit_code) or named or f"It ended with exit code {record.exit_code}."
    return _CODES.get(record.exit_code, f"It ended with exit code {record.exit_code}.")
