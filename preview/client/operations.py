"""Operations of the client: each is a generator of requests, which ``blocking`` and ``asynchronous`` drive."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from preview.client import files as uploads
from preview.client.calls import Blocking, Call, Pause, Steps, answered
from preview.client.errors import InvalidUpload, PreviewProblem
from preview.client.events import Event, Line, LogPage, event_of
from preview.client.files import Source
from preview.client.log_follower import LogFollower
from preview.client.models import (
    EndpointList,
    Environment,
    Failure,
    FailureList,
    FileList,
    FilesChanged,
    Generation,
    ImportedChange,
    ImportedGeneration,
    Launched,
    NewToken,
    PreviewStatus,
    ProxiedAnswer,
    RequestPage,
    Restored,
    Snapshot,
    SnapshotList,
)
from preview.client.session import PreviewSession, checked_id

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]

# Added to a requested wait: for the request itself, and the end of an environment's download.
_SLACK_S = 30.0
_UPLOAD_TIMEOUT_S = 600.0
# A restart, a reload or a restored snapshot may run builds and migrations again.
_SLOW_TIMEOUT_S = 660.0
# Most seconds that the service waits for one response.
_MAX_WAIT_S = 600.0
_POLL_S = (0.1, 0.2, 0.5, 1.0)
# Attempts if other clients change the generation at the same time.
_RELOAD_TRIES = 3
_MAX_PAGE_LINES = 1000
_NO_PREVIEW = "no_active_preview"


def create(source: Source, name: str | None, project_id: str | None) -> Steps[Generation]:
    """Upload files as a new generation."""
    packed: bytes = yield Blocking(partial(_pack, source))
    fields = {"name": name or uploads.name_of(source)} | ({"project_id": project_id} if project_id else {})
    files = uploads.multipart("files", packed)
    call = Call("POST", "/generations", files=files, fields=fields, timeout_s=_UPLOAD_TIMEOUT_S)
    return (yield from answered(call)).read(Generation)


def import_repository(url: str, name: str | None, project_id: str | None) -> Steps[ImportedGeneration]:
    """Have the service import a repository as a new generation."""
    fields = {"url": url} | ({"name": name} if name else {}) | ({"project_id": project_id} if project_id else {})
    call = Call("POST", "/imports", body=fields, timeout_s=_UPLOAD_TIMEOUT_S)
    return (yield from answered(call)).read(ImportedGeneration)


def update_from_repository(
    session: PreviewSession, url: str = "", *, commit: str = "", dry_run: bool = False, etag: str = ""
) -> Steps[ImportedChange]:
    """Replace all files with those of the repository, and reload the running preview.

    Without ``url`` it is the repository that the generation was imported from. ``dry_run`` stores nothing; its
    ``origin``, ``commit`` and ``etag``, given as ``url``, ``commit`` and ``etag``, get just what it has shown: the
    service refuses the update if the files have changed since.
    """
    params: dict[str, str | int] = {"dry_run": "true"} if dry_run else {}
    body = {"url": url, "commit": commit}
    headers = {"If-Match": etag} if etag else {}
    path = session.path("/import")
    call = Call("POST", path, params=params, headers=headers, body=body, timeout_s=_SLOW_TIMEOUT_S)
    return (yield from answered(call)).read(ImportedChange)


def launch(
    source: Source,
    *,
    name: str | None = None,
    project_id: str | None = None,
    env: Mapping[str, str] | None = None,
    start: Mapping[str, Any] | None = None,
    wait: float | None = None,
) -> Steps[PreviewSession]:
    """Upload files and launch them; with ``wait`` until the preview is healthy, at most so many seconds.

    Raises:
        PreviewProblem: It was refused, failed, or was not healthy in time; ``details`` has the ``generation_id``.
        InvalidUpload: The files cannot be uploaded.
    """
    generation = yield from create(source, name, project_id)
    session = PreviewSession(checked_id(generation.id))
    try:
        yield from start_preview(session, env=env, start=start, wait=wait)
    except PreviewProblem as error:
        error.details.setdefault("generation_id", generation.id)
        raise
    return session


def start_preview(
    session: PreviewSession,
    *,
    env: Mapping[str, str] | None = None,
    start: Mapping[str, Any] | None = None,
    wait: float | None = None,
) -> Steps[Launched]:
    """Launch the generation's files; with ``wait`` until the preview is healthy, at most so many seconds.

    Raises:
        PreviewProblem: It was refused, failed, or was not healthy in time.
    """
    body = {name: dict(given) for name, given in (("env", env), ("start", start)) if given is not None}
    wait_s = 0.0 if wait is None else min(wait, _MAX_WAIT_S)
    headers = {"Prefer": f"wait={max(1, round(wait_s))}"} if wait_s else {}
    call = Call("POST", session.path("/preview/launch"), body=body, headers=headers, timeout_s=_SLACK_S + wait_s)
    launched = (yield from answered(call)).read(Launched)
    session.note(launched)
    return launched


def wait_ready(session: PreviewSession, seconds: float = 60.0) -> Steps[PreviewStatus]:
    """Wait until the preview is healthy; return its status.

    Raises:
        PreviewProblem: It failed (code ``launch_failed``), or is not healthy in time (``startup_timeout``).
    """
    waited, count = 0.0, 0
    while True:
        found = yield from status(session)
        if found.status == "running" and found.health != "unhealthy":
            return found
        if found.status in ("failed", "stopped"):
            details = {"preview_id": found.id, "exit_code": found.exit_code}
            raise PreviewProblem("launch_failed", found.reason or "The preview has ended.", details)
        if waited >= seconds:
            raise PreviewProblem(
                "startup_timeout", f"The preview was not healthy after {seconds:g} s; see its log.", {}
            )
        pause = _POLL_S[min(count, len(_POLL_S) - 1)]
        yield Pause(pause)
        waited, count = waited + pause, count + 1


def status(session: PreviewSession) -> Steps[PreviewStatus]:
    """Return state, health, usage and launch steps; after a failure also its reason."""
    return (yield from answered(Call("GET", session.path("/preview/status")))).read(PreviewStatus)


def stop(session: PreviewSession) -> Steps[None]:
    """Stop the preview; returns when its processes, port and files are gone. A second stop changes nothing."""
    try:
        yield from answered(Call("DELETE", session.path("/preview")))
    except PreviewProblem as error:
        if error.code != _NO_PREVIEW:
            raise


def remove(session: PreviewSession) -> Steps[None]:
    """Stop the preview, and remove the generation with its files and logs."""
    yield from stop(session)
    yield from answered(Call("DELETE", session.path("")))


def restart(session: PreviewSession, wait: float | None = None) -> Steps[Launched]:
    """Start the application again: a running preview keeps its id, address and log, and serves meanwhile."""
    headers = {} if wait is None else {"Prefer": f"wait={max(1, round(min(wait, _MAX_WAIT_S)))}"}
    call = Call("POST", session.path("/preview/restart"), headers=headers, timeout_s=_SLOW_TIMEOUT_S)
    launched = (yield from answered(call)).read(Launched)
    session.note(launched)
    return launched


def send(
    session: PreviewSession,
    method: str,
    path: str,
    *,
    query: Mapping[str, object] | None = None,
    headers: Mapping[str, str] | None = None,
    body: object = None,
    encoding: Literal["base64"] | None = None,
    timeout_s: float = 60.0,
) -> Steps[ProxiedAnswer]:
    """Send one request to the preview, with its preview token; it is never sent twice."""
    envelope: dict[str, object] = {"method": method, "path": path, "body": body}
    envelope |= {"query": dict(query or {}), "headers": dict(headers or {})}
    envelope |= {} if encoding is None else {"encoding": encoding}
    for has_fresh in (False, True):
        if session.token is None or has_fresh:
            made = yield from answered(Call("POST", session.path("/preview/token")))
            session.token = made.read(NewToken).session_token
        with_token = {"X-Preview-Token": session.token}
        call = Call("POST", session.path("/preview/request"), body=envelope, headers=with_token, timeout_s=timeout_s)
        try:
            return (yield from answered(call, ())).read(ProxiedAnswer)
        except PreviewProblem as error:
            # A refused token: the application has not seen the request.
            if error.code != "invalid_preview_token" or has_fresh:
                raise
    raise AssertionError("the second attempt has returned or raised")


def follow_log(
    session: PreviewSession,
    *,
    after: int | None = None,
    tail: int | None = None,
    level: Level | None = None,
    filter: str | None = None,  # noqa: A002  the API's name
    request_id: str | None = None,
    follow: bool = True,
    colours: bool = False,
) -> LogFollower[Event]:
    """Return the reader of the log; see ``Preview.log``."""
    params = session.params(
        after=after, tail=tail, level=level, filter=filter, request_id=request_id, ansi="keep" if colours else None
    )
    return LogFollower(session.path("/preview/logs/stream"), event_of, params, follow=follow)


def lines(
    session: PreviewSession,
    *,
    after: int | None = None,
    limit: int = 500,
    level: Level | None = None,
    filter: str | None = None,  # noqa: A002  the API's name
    request_id: str | None = None,
) -> Steps[list[Line]]:
    """Return lines of the log, oldest first: the first ``limit`` after ``after``, else the last ones.

    Args:
        session: The preview.
        after: Only lines after this number.
        limit: Most lines, up to 1000.
        level: Only lines at least this severe.
        filter: Terms of the filter language.
        request_id: Only lines of this request.
    """
    before = 10**15 if after is None else None  # above each number: the last lines
    params = session.params(
        after=after, before=before, limit=min(limit, _MAX_PAGE_LINES), level=level, filter=filter, request_id=request_id
    )
    page = yield from answered(Call("GET", session.path("/preview/logs"), params=params))
    return page.read(LogPage).lines


def lines_of(session: PreviewSession, answer: ProxiedAnswer) -> Steps[list[Line]]:
    """Return the lines of a request; if none carries its id, those that were published during it."""
    found = yield from lines(session, request_id=answer.request_id, after=0, limit=_MAX_PAGE_LINES)
    if found or answer.log is None:
        return found
    count = answer.log.last_seq - answer.log.first_seq + 1
    return (yield from lines(session, after=answer.log.first_seq - 1, limit=max(1, count)))


def reload(session: PreviewSession, source: Source, remove: tuple[str, ...] = ()) -> Steps[FilesChanged]:
    """Send changed files; the running preview takes them over without losing its address.

    A folder replaces all files; only those that differ are sent. Files from memory are written beside the others.

    Args:
        session: The preview.
        source: The folder, or files by path.
        remove: Paths to remove, besides those that a folder no longer has.

    Raises:
        PreviewProblem: The files were refused. If the preview does not start with them, ``reload.error`` says why.
        InvalidUpload: The files cannot be uploaded.
    """
    content: dict[str, bytes] = yield Blocking(partial(uploads.read_source, source))
    is_whole = not isinstance(source, Mapping)
    if is_whole:
        content = {path: one for path, one in content.items() if path not in remove}
    wanted: dict[str, str] = yield Blocking(partial(uploads.hashes_of, content))
    for tries_left in reversed(range(_RELOAD_TRIES)):
        listed = (yield from answered(Call("GET", session.path("/files")))).read(FileList)
        there = {one.path: one.sha256 for one in listed.files}
        changed = {path: content[path] for path, digest in wanted.items() if there.get(path) != digest}
        gone = [path for path in there if path not in wanted] if is_whole else list(remove)
        if not changed and not gone:
            # The service refuses a change without files. Given one that is the same, it says that nothing has changed.
            changed = dict(list(content.items())[:1])
        is_large = is_whole and sum(map(len, changed.values())) > uploads.MAX_JSON_BYTES
        try:
            if is_large:
                return (yield from _replace(session, content, listed.etag))
            return (yield from _change(session, changed, gone, listed.etag))
        except PreviewProblem as error:
            if error.code != "precondition_failed" or not tries_left:
                raise
    raise AssertionError("the last try has returned or raised")


def snapshot(session: PreviewSession, name: str = "") -> Steps[Snapshot]:
    """Save what the application has stored, in files and databases, under a name."""
    call = Call("POST", session.path("/preview/snapshots"), body={"name": name}, timeout_s=_SLOW_TIMEOUT_S)
    return (yield from answered(call)).read(Snapshot)


def snapshots(session: PreviewSession) -> Steps[list[Snapshot]]:
    """Return the data snapshots of the generation, newest first."""
    return (yield from answered(Call("GET", session.path("/preview/snapshots")))).read(SnapshotList).snapshots


def restore(session: PreviewSession, snapshot: Snapshot | str) -> Steps[Restored]:
    """Replace the running preview's data by a snapshot; what was replaced is a snapshot itself."""
    chosen = snapshot if isinstance(snapshot, str) else snapshot.id
    path = session.path(f"/preview/snapshots/{quote(chosen, safe='')}/restore")
    return (yield from answered(Call("POST", path, body={}, timeout_s=_SLOW_TIMEOUT_S))).read(Restored)


def requests(
    session: PreviewSession,
    *,
    filter: str | None = None,  # noqa: A002  the API's name
    before: int | None = None,
    limit: int = 50,
) -> Steps[RequestPage]:
    """Return a page of recorded requests, newest first; ``before=page.next`` continues."""
    params = session.params(filter=filter, before=before, limit=limit)
    return (yield from answered(Call("GET", session.path("/preview/requests"), params=params))).read(RequestPage)


def failures(session: PreviewSession, *, filter: str | None = None) -> Steps[list[Failure]]:  # noqa: A002  see above
    """Return why requests failed: one record for each cause, newest first."""
    params = session.params(filter=filter)
    found = yield from answered(Call("GET", session.path("/preview/failures"), params=params))
    return found.read(FailureList).items


def failure_text(session: PreviewSession, failure: Failure | str) -> Steps[str]:
    """Return a failure as a bounded text for people and agents: stack, source, request, lines."""
    chosen = failure if isinstance(failure, str) else failure.id
    path = session.path(f"/preview/failures/{quote(chosen, safe='')}")
    return (yield from answered(Call("GET", path, params=session.params(format="text")))).text


def endpoints(session: PreviewSession) -> Steps[EndpointList]:
    """Return the application's endpoints, from its source and, while it runs, from itself."""
    return (yield from answered(Call("GET", session.path("/preview/endpoints")))).read(EndpointList)


def env(session: PreviewSession) -> Steps[Environment]:
    """Return the variables of the generation's project; secrets without their values."""
    path = yield from _environment_path(session)
    return (yield from answered(Call("GET", path))).read(Environment)


def set_env(
    session: PreviewSession, values: Mapping[str, str] | None = None, *, unset: tuple[str, ...] = ()
) -> Steps[Environment]:
    """Set or remove variables of the project; they apply at the next launch or restart."""
    path = yield from _environment_path(session)
    body = {"set": dict(values or {}), "unset": list(unset)}
    return (yield from answered(Call("PATCH", path, body=body))).read(Environment)


def _environment_path(session: PreviewSession) -> Steps[str]:
    found = (yield from answered(Call("GET", session.path("")))).read(Generation)
    return f"/projects/{quote(found.project_id, safe='')}/environment"


def _pack(source: Source) -> bytes:
    files = uploads.read_source(source)
    if not files:
        raise InvalidUpload("There are no files to upload.")
    return uploads.archive_of(files)


def _change(session: PreviewSession, changed: Mapping[str, bytes], gone: list[str], tag: str) -> Steps[FilesChanged]:
    """Send a change that builds on the files with this entity tag."""
    body = {"files": {name: uploads.as_json(one) for name, one in changed.items()}, "remove": gone}
    call = Call("PATCH", session.path("/files"), body=body, headers={"If-Match": tag}, timeout_s=_SLOW_TIMEOUT_S)
    return (yield from answered(call)).read(FilesChanged)


def _replace(session: PreviewSession, content: Mapping[str, bytes], tag: str) -> Steps[FilesChanged]:
    """Send all files as an archive, in place of those with this entity tag."""
    packed: bytes = yield Blocking(partial(uploads.archive_of, content))
    files = uploads.multipart("files", packed)
    call = Call("PUT", session.path("/files"), files=files, headers={"If-Match": tag}, timeout_s=_SLOW_TIMEOUT_S)
    return (yield from answered(call)).read(FilesChanged)
