"""Messages of workers: validation of their answers, and errors for missing answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from preview.errors import AnalysisFailed, EnvironmentFailed, InvalidGeneration, PreviewError, TooComplex, TooLarge
from preview.worker.forked import ForkedWorker

log = structlog.get_logger(__name__)

T = TypeVar("T")

MAX_SHOWN: Final = 300
"""Maximum length of a file name or a reason, in characters."""
_MAX_MESSAGE: Final = 2000
# Errors that a job may raise, by code.
_ERRORS: Final[Mapping[str, type[PreviewError]]] = {
    kind.code: kind for kind in (AnalysisFailed, InvalidGeneration, EnvironmentFailed, TooLarge)
}


def validated(said: Any, answer: TypeAdapter[T]) -> T:
    """Return the answer, validated as its type.

    Raises:
        AnalysisFailed: The answer does not have the expected shape.
        PreviewError: The error that the job itself reported.
    """
    try:
        if "ok" in said:
            return answer.validate_python(said["ok"])
        error = said["error"]
        kind, message, details = _ERRORS[error["code"]], clean(str(error["message"])), dict(error["details"])
    except (ValidationError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("worker answer invalid", why=str(error)[:MAX_SHOWN])
        raise AnalysisFailed(
            "The project could not be analysed: the process that read its files gave no valid answer."
        ) from error
    raise kind(message[:_MAX_MESSAGE], **{str(name): value for name, value in details.items()})


def clean(text: str) -> str:
    """Replace unprintable characters by spaces: the result is one line that cannot control a terminal."""
    return "".join(one if one.isprintable() else " " for one in text)


def too_complex(worker: ForkedWorker, bound: str, **details: object) -> TooComplex:
    """Return the error for a worker that reached a limit; ``bound`` names the limit, for example ``within 10 s``."""
    return TooComplex(
        f"{file_of(worker)} is too complex to analyse {bound}. Shorten it, split it into several files, or leave "
        "it out.",
        **path_of(worker),
        **details,
    )


def file_of(worker: ForkedWorker) -> str:
    """Return the name of the file that the worker read last, for use in a sentence."""
    return clean(worker.file)[:MAX_SHOWN] or "The project"


def path_of(worker: ForkedWorker) -> dict[str, object]:
    """Return the name of the file that the worker read last, for an error's details; empty if unknown."""
    return {"path": clean(worker.file)[:MAX_SHOWN]} if worker.file else {}
