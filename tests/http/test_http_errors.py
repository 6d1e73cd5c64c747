from __future__ import annotations

import errno
import os
from typing import Any

import pytest
from structlog.testing import capture_logs
from werkzeug.exceptions import BadRequest, InternalServerError, MethodNotAllowed, NotFound, RequestEntityTooLarge

from preview import errors
from preview.errors import PreviewError
from preview.http.contracts import plan, v1
from preview.http.core.errors import STATUSES, problem_of
from preview.logs import Contract


def kinds() -> list[type[PreviewError]]:
    found = [getattr(errors, name) for name in errors.__all__]
    return [kind for kind in found if kind is not PreviewError]


def v1_shown(error: Exception) -> dict[str, Any]:
    return v1.Problem.of(problem_of(error), "/here").dumped()


def plan_shown(error: Exception, route: str = "launch") -> dict[str, Any]:
    problem = problem_of(error)
    if route == "request":
        return plan.PlanProxyError.of(problem).dumped()
    return plan.PlanError.of(problem, is_launch_route=route == "launch").dumped()


@pytest.mark.parametrize("kind", kinds())
def test_every_error_has_a_status_of_its_own_and_can_be_shown_in_both_contracts(kind: type[PreviewError]) -> None:
    assert kind in STATUSES
    assert v1_shown(kind("what"))["code"] == kind.code
    plan_shown(kind("what"), "launch")
    plan_shown(kind("what"), "status")
    plan_shown(kind("what"), "request")


def test_a_v1_problem_is_rfc_9457_with_code_and_details() -> None:
    assert v1_shown(errors.AlreadyRunning("It runs.", preview_id="preview_x")) == {
        "type": "urn:preview:problem:already_running",
        "title": "Already running",
        "status": 409,
        "detail": "It runs.",
        "instance": "/here",
        "code": "already_running",
        "details": {"preview_id": "preview_x"},
    }


def test_plan_says_a_launch_with_missing_files_as_the_document_does() -> None:
    error = errors.InvalidGeneration("Missing required files (main.py)", missing_files=["main.py"])
    assert problem_of(error).status_in(Contract.PLAN) == 400
    assert plan_shown(error) == {
        "status": "failed",
        "error": "launch_failed",
        "message": "Cannot launch: Missing required files (main.py)",
        "details": {"reason": "invalid_generation", "missingFiles": ["main.py"]},
    }


def test_plan_says_no_active_preview_as_the_document_does() -> None:
    assert plan_shown(errors.NoActivePreview("No active preview for this generation"), "status") == {
        "status": "not_found",
        "error": "no_active_preview",
        "message": "No active preview for this generation",
    }


def test_plan_says_preview_unavailable_as_the_document_does() -> None:
    assert plan_shown(errors.PreviewUnavailable("It is not running."), "request") == {
        "statusCode": 503,
        "error": "preview_unavailable",
        "message": "It is not running.",
    }


def test_plan_says_a_conflict_with_what_frees_the_way() -> None:
    held = [{"preview_id": "preview_x", "generation_id": "gen_y"}]
    assert plan_shown(errors.LimitReached("No more.", previews=held)) == {
        "status": "failed",
        "error": "preview_limit_reached",
        "message": "No more.",
        "details": {"previews": [{"previewId": "preview_x", "generationId": "gen_y"}]},
    }


def test_a_full_port_range_is_500_in_plan_and_503_in_v1() -> None:
    problem = problem_of(errors.NoPortFree("Full."))
    assert (problem.status_in(Contract.PLAN), problem.status_in(Contract.V1)) == (500, 503)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.Unauthenticated, 401),
        (errors.Forbidden, 403),
        (errors.PreviewTokenRejected, 403),
        (errors.GenerationNotFound, 404),
        (errors.AlreadyRunning, 409),
        (errors.LimitReached, 409),
        (errors.TooManyStreams, 429),
        (errors.TooManyLaunches, 429),
        (errors.DiskFull, 507),
        (errors.StartupTimeout, 504),
        (errors.UpstreamTimeout, 504),
        (errors.PreviewUnavailable, 503),
        (errors.BodyTooLarge, 413),
        (errors.InvalidPath, 400),
    ],
)
def test_the_statuses_of_the_contract(kind: type[PreviewError], status: int) -> None:
    assert problem_of(kind("what")).status == status


def test_a_401_challenges_without_an_error_where_no_token_was_sent() -> None:
    missing = problem_of(errors.Unauthenticated("Send one.", reason="missing"))
    wrong = problem_of(errors.Unauthenticated('It has "expired" \u2013 sorry.'))
    assert missing.headers["WWW-Authenticate"] == 'Bearer realm="preview"'
    assert wrong.headers["WWW-Authenticate"] == (
        'Bearer realm="preview", error="invalid_token", error_description="It has \'expired\' ? sorry."'
    )


def test_what_passes_says_when_to_come_back() -> None:
    assert problem_of(errors.TooManyStreams("Too many.")).headers["Retry-After"] == "2"


def test_a_subclass_without_an_entry_is_what_its_base_is() -> None:
    class Special(errors.LaunchFailed):
        code = "special"

    assert (problem_of(Special("x")).status, problem_of(Special("x")).code) == (500, "special")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (NotFound(), 404, "not_found"),
        (BadRequest(), 400, "invalid_request"),
        (RequestEntityTooLarge(), 413, "body_too_large"),
    ],
)
def test_the_framework_s_own_errors_have_codes_too(error: Exception, status: int, code: str) -> None:
    assert (v1_shown(error)["status"], v1_shown(error)["code"]) == (status, code)


def test_405_names_the_methods() -> None:
    problem = problem_of(MethodNotAllowed(["GET", "DELETE"]))
    assert problem.details == {"allowed": ["DELETE", "GET"]}
    assert problem.headers["Allow"] == "GET, DELETE"


@pytest.mark.parametrize("error", [RuntimeError("password=hunter2"), InternalServerError("password=hunter2")])
def test_an_unexpected_error_is_logged_under_an_id_and_shows_nothing_else(error: Exception) -> None:
    with capture_logs() as logs:
        shown = v1_shown(error)
    assert "hunter2" not in str(shown)
    assert (shown["status"], shown["code"]) == (500, "internal_error")
    assert logs[0]["error_id"] == shown["details"]["error_id"]
    assert logs[0]["exc_info"] is error


@pytest.mark.parametrize(("number", "word"), [(errno.EMFILE, "descriptors"), (errno.ENOSPC, "disk")])
def test_what_the_machine_is_out_of_is_said(number: int, word: str) -> None:
    with capture_logs():
        shown = v1_shown(OSError(number, os.strerror(number)))
    assert (shown["status"], shown["code"]) == (503, "service_short")
    assert word in shown["detail"]
