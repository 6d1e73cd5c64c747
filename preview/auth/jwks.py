"""Public keys from an identity provider: fetched when needed, kept for a while, fetched again for a new one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import structlog
import trio
from joserfc.jwk import Key

from preview.auth.algorithms import Algorithm
from preview.auth.keys import MAX_SET_BYTES, BadKeySet, PublicKeys, parse_key_set
from preview.errors import ConfigurationError, Unauthenticated

__all__ = ["FETCH_TIMEOUT_S", "Fetch", "KeyBook", "fetch_file", "fetch_url", "read_key_file"]

# Bounds how long a request waits, and how long a shutdown may wait for one.
FETCH_TIMEOUT_S = 5.0
# Keys are asked for again after this long ...
_FRESH_S = 600.0
# ... and are believed this long while that fails: a provider's outage is no outage of ours, but a key that was
# withdrawn ends some time.
_USABLE_S = 3600.0
# A token with an unknown key costs nothing to make: it must not make us ask the provider more often than this.
_PAUSE_S = 30.0
# After a failure, sooner: nobody is let in meanwhile.
_PAUSE_AFTER_FAILURE_S = 5.0

_log = structlog.get_logger(__name__)

Fetch = Callable[[], Awaitable[bytes]]
"""Gives a key set's bytes, at most ``MAX_SET_BYTES`` + 1; raises ``OSError``, ``httpx2.HTTPError`` or ``BadKeySet``."""


class KeyBook:
    """The keys of one source, fetched by whoever needs them first while others wait for the same answer.

    Args:
        source: Its name for the log, without credentials.
        fetch: Gets the set.
        algorithm: What keys are for.
        known: Keys that are there from the start.
        clock: Seconds, never going back.
    """

    def __init__(
        self,
        source: str,
        fetch: Fetch,
        algorithm: Algorithm,
        *,
        known: PublicKeys | None = None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._source = source
        self._fetch = fetch
        self._algorithm = algorithm
        self._clock = clock
        self._keys = known
        # Without a clock to ask yet: keys that are there from the start are looked at again with the first token.
        self._fetched_at: float | None = None
        self._next_fetch_at = float("-inf")
        self._fetching = trio.Lock()

    async def find(self, kid: str | None) -> Key:
        """The key that a token names by ``kid``.

        Raises:
            Unauthenticated: There is none of that name, or the keys cannot be had now.

        Cancellation: a fetch that has begun is finished first, within ``FETCH_TIMEOUT_S``: others wait for it too.
        """
        key = self._lookup(kid)
        if key is not None and (self._is_fresh() or self._fetching.locked()):
            return key
        if self._may_fetch():
            async with self._fetching:
                # Whoever waited here finds it done.
                if self._may_fetch():
                    await self._refresh()
            key = self._lookup(kid)
        if key is not None:
            return key
        if self._usable_keys() is None:
            raise Unauthenticated(
                "Tokens cannot be checked now, because the keys for it cannot be had; try again in a moment.",
                reason="keys_unavailable",
            )
        raise Unauthenticated(
            "The token is signed with a key that this service does not know; get a new one.", reason="unknown_key"
        )

    def _usable_keys(self) -> PublicKeys | None:
        too_old = self._fetched_at is not None and self._clock() - self._fetched_at >= _USABLE_S
        return None if too_old else self._keys

    def _lookup(self, kid: str | None) -> Key | None:
        keys = self._usable_keys()
        return None if keys is None else keys.find(kid)

    def _is_fresh(self) -> bool:
        return self._fetched_at is not None and self._clock() - self._fetched_at < _FRESH_S

    def _may_fetch(self) -> bool:
        return self._clock() >= self._next_fetch_at

    async def _refresh(self) -> None:
        pause_s = _PAUSE_AFTER_FAILURE_S
        # Shielded, since it is done for everybody: else a client that keeps hanging up could keep the keys from all.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FETCH_TIMEOUT_S) as scope:
            try:
                self._keys = parse_key_set(await self._fetch(), self._algorithm)
            except BadKeySet as error:
                self._say_failed(f"it {error}")
            except httpx2.HTTPError as error:
                self._say_failed(type(error).__name__)
            except OSError as error:
                self._say_failed(error.strerror or type(error).__name__)
            else:
                self._fetched_at = self._clock()
                pause_s = _PAUSE_S
        if scope.cancelled_caught:
            self._say_failed(f"no answer within {FETCH_TIMEOUT_S:g} s")
        self._next_fetch_at = self._clock() + pause_s

    def _say_failed(self, reason: str) -> None:
        _log.warning(
            "jwks.fetch_failed", source=self._source, reason=reason, keys_known=self._usable_keys() is not None
        )


def fetch_url(url: str) -> tuple[str, Fetch]:
    """How to get a key set from ``url``, and the URL's name for the log (no user, password or query).

    Raises:
        ConfigurationError: It is no HTTP URL.
    """
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in {"http", "https"} and bool(parts.hostname)
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        is_http = False
    if not is_http:
        raise ConfigurationError("PREVIEW_JWKS_URL is not an address; write https://HOST/PATH.")

    async def fetch() -> bytes:
        # A compressed answer is not asked for and would not be JSON: nothing can unfold to more than was read. No
        # redirect is followed: the operator has said whom to believe.
        timeout = httpx2.Timeout(FETCH_TIMEOUT_S)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        content = bytearray()
        async with (
            httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=timeout) as client,
            client.stream("GET", url, headers=headers) as response,
        ):
            if response.status_code != 200:
                raise BadKeySet(f"answered {response.status_code}")
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) > MAX_SET_BYTES:
                    break
        return bytes(content)

    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}", fetch


def fetch_file(path: Path) -> Fetch:
    """How to read a key set from ``path`` again: a file that was replaced is noticed like a provider's new keys."""

    async def fetch() -> bytes:
        return await trio.to_thread.run_sync(_read, path, abandon_on_cancel=True)

    return fetch


def read_key_file(path: Path, algorithm: Algorithm) -> PublicKeys:
    """The keys in a file, at once.

    Raises:
        ConfigurationError: It cannot be read, or holds no key for the algorithm.
    """
    try:
        return parse_key_set(_read(path), algorithm)
    except OSError as error:
        raise ConfigurationError(
            f"PREVIEW_JWKS_FILE {path} cannot be read ({error.strerror}); name a file that this user can read.",
            path=str(path),
        ) from error
    except BadKeySet as error:
        raise ConfigurationError(
            f"PREVIEW_JWKS_FILE {path} {error}; put the provider's public keys there.", path=str(path)
        ) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_SET_BYTES + 1)
