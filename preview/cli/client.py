"""The client commands' access to the API: find the service, authenticate, and turn errors into sentences."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from httpx2 import ServerSentEvent

from preview.auth import issue_token, load_or_create_secret
from preview.cli.data_folder import RUN_SETTINGS, ServiceNote, read_note, read_run_notes
from preview.cli.exits import ApiRefused, CommandFailed, NoService, UsageMistake
from preview.cli.filter_mark import filter_in, mark_of
from preview.client.blocking import Client
from preview.client.calls import TIMEOUT_S, Call, Reply
from preview.client.errors import ClientError, PreviewProblem, Unreachable
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.settings import Settings, load_settings

# The user at this machine, who can read the data folder's secret.
LOCAL_USER = "local"
# Enough for one command. ``logs -f`` gets a new token when a stream reports ``expired``.
_LOCAL_TOKEN_TTL_S = 600
# Most bytes of a response: `preview pull` takes a generation as one archive, and operators may raise its limit.
_MAX_DOWNLOAD_BYTES = 1024 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Target:
    """A service's address, with a token for it.

    Attributes:
        url: ``http(s)://HOST[:PORT][/PREFIX]`` without a trailing slash.
        settings: This machine's settings, for the data folder.
    """

    url: str
    token: str
    settings: Settings


def find_target(url: str | None) -> Target:
    """Return the service of ``--url`` or ``PREVIEW_URL`` (with ``PREVIEW_TOKEN``), else the one on this data folder.

    Without a service, the only ``preview run`` on this data folder is returned.

    Raises:
        NoService: No service is named, and none runs here, or several ``preview run``.
        CommandFailed: The address is invalid, or there is no token for the service.
    """
    settings = load_settings()
    here = _services_here(settings)
    named = url or os.environ.get("PREVIEW_URL")
    address = (_only(here, settings) if named is None else named).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise CommandFailed(f"{quoted(address)} is not a service address; write http://HOST:PORT.")
    own = next((one for one, note in here if note.url == address), None)
    token = os.environ.get("PREVIEW_TOKEN")
    if not token and own is None:
        raise CommandFailed(f"{address} needs a token; set PREVIEW_TOKEN to one created there with `preview token`.")
    return Target(address, token or _own_token(own or settings), own or settings)


def _services_here(settings: Settings) -> list[tuple[Settings, ServiceNote]]:
    """Return the service on the data folder, then each ``preview run`` there, with the settings that it has."""
    own = read_note(settings.data_dir)
    runs = [
        (settings.model_copy(update={**RUN_SETTINGS, "data_dir": slot}), note)
        for slot, note in read_run_notes(settings.data_dir)
    ]
    return ([] if own is None else [(settings, own)]) + runs


def _only(here: Sequence[tuple[Settings, ServiceNote]], settings: Settings) -> str:
    """Return the address that is meant if none is named."""
    if not here:
        raise NoService(
            f"No service is running on {settings.data_dir}; start one with `preview serve`, or name one with --url."
        )
    if here[0][0] is not settings and len(here) > 1:
        urls = ", ".join(note.url for _run, note in here)
        raise NoService(f"Several `preview run` are running here; name one with --url: {urls}.")
    return here[0][1].url


def _own_token(settings: Settings) -> str:
    if settings.jwt_algorithm != "HS256":
        raise CommandFailed(
            f"This service checks {settings.jwt_algorithm} tokens with public keys, so none can be made here; "
            "set PREVIEW_TOKEN to one from your identity provider."
        )
    return issue_token(settings, load_or_create_secret(settings), LOCAL_USER, tier=None, ttl_s=_LOCAL_TOKEN_TTL_S)


class Api:
    """Client of one service, contract ``v1``. Created by ``open_api``.

    Attributes:
        client: The Python client below it.
    """

    def __init__(self, target: Target, client: Client) -> None:
        self.target = target
        self.client = client

    def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        files: Any = None,
        data: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """Send a request and return its successful response.

        Args:
            method: HTTP method.
            path: Path below ``/api/v1``, with a leading slash.
            body: Sent as JSON unless None; bytes are sent unchanged, and ``headers`` names their type.
            params: Query parameters.
            headers: Additional headers.
            files: Multipart files, as httpx2 takes them.
            data: Additional multipart fields.
            timeout_s: Seconds to wait for the response; None means 60.

        Raises:
            ApiRefused: The service responded with an error.
            NoService: The service did not respond.
            CommandFailed: The response is not one of a service.
        """
        call = Call(
            method, path, params or {}, headers or {}, body, files, data, TIMEOUT_S if timeout_s is None else timeout_s,
            max_bytes=_MAX_DOWNLOAD_BYTES,
        )  # fmt: skip
        try:
            return self.client.call(call)
        except ClientError as error:
            raise self.as_failure(error, call) from error

    def get_json(self, path: str, **options: Any) -> dict[str, Any]:
        """Send a ``GET`` and return the response's JSON object."""
        answer: dict[str, Any] = self.call("GET", path, **options).json()
        return answer

    @contextmanager
    def stream(
        self, path: str, params: Mapping[str, str | int], headers: Mapping[str, str], *, body: object = None
    ) -> Iterator[Iterator[ServerSentEvent]]:
        """Provide the events of a streaming ``GET``; with a body, of a ``POST``.

        Raises:
            ApiRefused: The service responded with an error.
            CommandFailed: The response is not an event stream.
            Unreachable: The connection failed; the caller decides whether to reconnect.
        """
        call = Call("GET" if body is None else "POST", path, params, headers, body)
        try:
            with self.client.events(call) as events:
                yield events
        except Unreachable:
            raise
        except ClientError as error:
            raise self.as_failure(error, call) from error

    def as_failure(self, error: ClientError, call: Call | None = None) -> CommandFailed:
        """Convert an error of the client to the command's: one sentence, and an exit code."""
        if isinstance(error, PreviewProblem):
            return refusal(error, call)
        if isinstance(error, Unreachable):
            return unreachable(self.target, error)
        return CommandFailed(str(error))


@contextmanager
def open_api(url: str | None, ca: Path | None = None) -> Iterator[Api]:
    """Provide a client of the service that ``find_target`` finds; its connections are closed at the end.

    Args:
        url: The service's address, or None.
        ca: File with the authority of the service's certificate; None means the setting.

    Raises:
        NoService, CommandFailed: See ``find_target``.
        UsageMistake: ``ca`` is unusable.
    """
    target = find_target(url)
    try:
        client = Client(
            target.url,
            tokens_of(target),
            verify=trusted(target.settings, ca),
            retry_pauses_s=(),
            user_agent="preview-cli",
        )
    except ClientError as error:
        raise CommandFailed(str(error)) from error
    with client:
        yield Api(target, client)


def tokens_of(target: Target) -> Callable[[], str]:
    """Return a function that returns the target's token, and later further ones, when one has expired."""
    first = iter((target.token,))
    return lambda: next(first, None) or find_target(target.url).token


def trusted(settings: Settings, ca: Path | None) -> ssl.SSLContext:
    """Trust the given authority's certificates, else the machine's.

    Raises:
        CommandFailed, UsageMistake: The file is unusable.
    """
    try:
        return ssl.create_default_context(cafile=ca or settings.ca)
    except (OSError, ssl.SSLError) as error:
        why = f"cannot be used as a certificate in PEM form: {error}."
        if ca is not None:
            raise UsageMistake(f"--ca ({ca}) {why}") from error
        raise CommandFailed(f"PREVIEW_CA ({settings.ca}) {why}") from error


def trust_of(api: Api, ca: Path | None) -> ssl.SSLContext:
    """Return the certificates that are trusted at this service's addresses. Raises as ``open_api``."""
    return trusted(api.target.settings, ca)


def generation_path(generation_id: str, rest: str = "") -> str:
    """Return the generation's path below ``/api/v1``.

    Raises:
        UsageMistake: The id is invalid.
    """
    if not is_valid_id(generation_id):
        raise UsageMistake(f"{quoted(generation_id)} is not a generation's id; `preview ls` shows yours.")
    return f"/generations/{generation_id}{rest}"


def unreachable(target: Target, error: Unreachable) -> NoService:
    """Return the error for a service that does not respond."""
    why = "did not answer in time" if error.is_timeout else "cannot be reached"
    way_out = "check with `preview doctor`"
    if "CERTIFICATE_VERIFY_FAILED" in error.reason:
        way_out = "pass the CA certificate of the service with --ca FILE or PREVIEW_CA"
    return NoService(f"The service at {target.url} {why} ({error.reason}); {way_out}.")


def refusal(error: PreviewProblem, call: Call | None) -> ApiRefused:
    """Convert an error of the service, with a mark below the mistake in the request's filter."""
    mark = "" if call is None else mark_of(error.code, error.details, filter_in(call.params, call.body))
    return ApiRefused(error.detail, status=error.status, problem=error.code, facts=error.details, mark=mark)
