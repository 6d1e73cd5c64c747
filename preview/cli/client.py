"""The client commands' access to the API: find the service, authenticate, and turn errors into sentences."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from preview.auth import issue_token, load_or_create_secret
from preview.cli.data_folder import read_note
from preview.cli.exits import ApiRefused, CommandFailed, NoService, UsageMistake
from preview.cli.filter_mark import filter_in, mark_of
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.settings import Settings, load_settings

# The user at this machine, who can read the data folder's secret.
LOCAL_USER = "local"
# Enough for one command. ``logs -f`` gets a new token when a stream reports ``expired``.
_LOCAL_TOKEN_TTL_S = 600
# Connecting is local or one hop. A response may take as long as a stop, and a quiet stream has a comment every 15 s.
_TIMEOUT = httpx2.Timeout(60, connect=5)


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

    Raises:
        NoService: No service is named, and none runs here.
        CommandFailed: The address is invalid, or there is no token for the service.
    """
    settings = load_settings()
    named = url or os.environ.get("PREVIEW_URL")
    note = read_note(settings.data_dir)
    token = os.environ.get("PREVIEW_TOKEN")
    if named is None and note is None:
        raise NoService(
            f"No service is running on {settings.data_dir}; start one with `preview serve`, or name one with --url."
        )
    address = (named or (note.url if note else "")).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise CommandFailed(f"{quoted(address)} is not an address of a service; write http://HOST:PORT.")
    if not token and (note is None or address != note.url):
        raise CommandFailed(f"{address} needs a token; set PREVIEW_TOKEN to one that `preview token` made there.")
    return Target(address, token or _own_token(settings), settings)


def _own_token(settings: Settings) -> str:
    if settings.jwt_algorithm != "HS256":
        raise CommandFailed(
            f"This service checks {settings.jwt_algorithm} tokens with public keys, so none can be made here; "
            "set PREVIEW_TOKEN to one from your identity provider."
        )
    return issue_token(settings, load_or_create_secret(settings), LOCAL_USER, tier=None, ttl_s=_LOCAL_TOKEN_TTL_S)


class Api:
    """Client of one service, contract ``v1``. Created by ``open_api``."""

    def __init__(self, target: Target, client: httpx2.Client) -> None:
        self.target = target
        self._client = client

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
    ) -> httpx2.Response:
        """Send a request and return its successful response.

        Args:
            method: HTTP method.
            path: Path below ``/api/v1``, with a leading slash.
            body: Sent as JSON unless None.
            params: Query parameters.
            headers: Additional headers.
            files: Multipart files, as httpx2 takes them.
            data: Additional multipart fields.
            timeout_s: Seconds to wait for the response; None means 60.

        Raises:
            ApiRefused: The service responded with an error.
            NoService: The service did not respond.
        """
        request = self._client.build_request(
            method,
            f"{self.target.url}/api/v1{path}",
            json=body,
            params=params,
            headers=headers,
            files=files,
            data=data,
            timeout=_TIMEOUT if timeout_s is None else httpx2.Timeout(timeout_s, connect=5),
        )
        try:
            response = self._client.send(request)
        except httpx2.TransportError as error:
            raise unreachable(self.target, error) from error
        if response.is_error:
            raise refusal(response)
        return response

    def get_json(self, path: str, **options: Any) -> dict[str, Any]:
        """Send a ``GET`` and return the response's JSON object."""
        answer: dict[str, Any] = self.call("GET", path, **options).json()
        return answer

    @contextmanager
    def stream(
        self, path: str, params: Mapping[str, str | int], headers: Mapping[str, str], *, body: object = None
    ) -> Iterator[httpx2.Response]:
        """Provide a streaming ``GET``, which stays open as long as keep-alive comments arrive; with a body, a ``POST``.

        Raises:
            ApiRefused: The service responded with an error.
            httpx2.TransportError: The connection failed; the caller decides whether to reconnect.
        """
        method = "GET" if body is None else "POST"
        with self._client.stream(
            method, f"{self.target.url}/api/v1{path}", params=params, headers=headers, json=body, timeout=_TIMEOUT
        ) as response:
            if response.is_error:
                response.read()
                raise refusal(response)
            yield response


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
    headers = {"Authorization": f"Bearer {target.token}", "User-Agent": "preview-cli"}
    # A proxy from the environment is not for services on this machine.
    local = httpx2.URL(target.url).host in {"localhost", "127.0.0.1", "::1"}
    with httpx2.Client(
        headers=headers, follow_redirects=False, verify=_trust(target.settings, ca), trust_env=not local
    ) as client:
        yield Api(target, client)


def _trust(settings: Settings, ca: Path | None) -> ssl.SSLContext:
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


def generation_path(generation_id: str, rest: str = "") -> str:
    """Return the generation's path below ``/api/v1``.

    Raises:
        UsageMistake: The id is invalid.
    """
    if not is_valid_id(generation_id):
        raise UsageMistake(f"{quoted(generation_id)} is not a generation's id; `preview ls` shows yours.")
    return f"/generations/{generation_id}{rest}"


def unreachable(target: Target, error: httpx2.TransportError) -> NoService:
    """Return the error for a service that does not respond."""
    why = "did not answer in time" if isinstance(error, httpx2.TimeoutException) else "cannot be reached"
    way_out = "check with `preview doctor`"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        way_out = "name the certificate of the authority that signed the service's with --ca FILE or PREVIEW_CA"
    return NoService(f"The service at {target.url} {why} ({error}); {way_out}.")


def refusal(response: httpx2.Response) -> ApiRefused:
    """Convert an error response (RFC 9457, or any other from a proxy) to one sentence."""
    try:
        problem = response.json()
    except (ValueError, RecursionError):
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    message = problem.get("detail") or problem.get("title") or problem.get("message")
    if not isinstance(message, str) or not message:
        message = f"The service answered {response.status_code} {response.reason_phrase}."
    facts = problem.get("details")
    facts = facts if isinstance(facts, dict) else {}
    code = str(problem.get("code", ""))
    mark = mark_of(code, facts, filter_in(response.request))
    return ApiRefused(message, status=response.status_code, problem=code, facts=facts, mark=mark)
