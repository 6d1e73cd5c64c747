"""Public keys of an identity provider: fetched when needed, cached, and fetched again for an unknown key."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import trio
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key

from preview.auth.algorithms import Algorithm
from preview.auth.provider import (
    ANSWER_TIMEOUT_S,
    MAX_ANSWER_BYTES,
    NO_ANSWER,
    BadAddress,
    BadStatus,
    Endpoint,
)
from preview.errors import ConfigurationError, Unauthenticated

MAX_KEYS = 100

# Metadata of a key. Checked once here, so that joserfc need not check it for each signature.
_ABOUT = frozenset({"use", "alg", "key_ops", "kid"})

_log = structlog.get_logger(__name__)


class BadKeySet(ValueError):
    """Not a key set, or no key for the algorithm. The message continues a sentence: '... holds no key'."""


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """Public keys by id.

    Attributes:
        named: Keys by ``kid``.
        nameless: Keys without ``kid``.
    """

    named: Mapping[str, Key]
    nameless: Sequence[Key]

    def find(self, kid: str | None) -> Key | None:
        """Return the key for a token with this ``kid`` (None: without one), or None if there is no unambiguous key."""
        if kid is not None and kid in self.named:
            return self.named[kid]
        if kid is None and len(self.named) == 1 and not self.nameless:
            return next(iter(self.named.values()))
        return self.nameless[0] if len(self.nameless) == 1 and (kid is not None or not self.named) else None


def parse_key_set(content: bytes, algorithm: Algorithm) -> PublicKeys:
    """Return the set's keys for ``algorithm``. Other keys, and unreadable ones, are skipped.

    Args:
        content: JSON, ``{"keys": [...]}``.
        algorithm: The algorithm that keys must fit.

    Raises:
        BadKeySet: The content is not a key set, or contains no usable key.
    """
    if len(content) > MAX_ANSWER_BYTES:
        raise BadKeySet(f"holds more than {MAX_ANSWER_BYTES // 1024} KiB")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise BadKeySet("holds no JSON") from None
    found = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(found, list) or len(found) > MAX_KEYS:
        raise BadKeySet(f"holds no JSON Web Key Set of at most {MAX_KEYS} keys")
    named: dict[str, Key] = {}
    nameless: list[Key] = []
    for data in found:
        if not isinstance(data, dict) or not _is_for(data, algorithm):
            continue
        key = _import(data)
        if key is None:
            continue
        kid = data.get("kid")
        if isinstance(kid, str):
            named.setdefault(kid, key)
        else:
            nameless.append(key)
    if not named and not nameless:
        raise BadKeySet(f"holds no key for {' or '.join(sorted(algorithm.names))}")
    return PublicKeys(named, nameless)


def _is_for(data: Mapping[str, Any], algorithm: Algorithm) -> bool:
    """Return whether a key's type, curve, use, algorithm and operations fit (RFC 7517 sections 4.1 to 4.4)."""
    operations = data.get("key_ops")
    return (
        data.get("kty") == algorithm.key_type
        and (not algorithm.curves or data.get("crv") in list(algorithm.curves))
        and data.get("use") in (None, "sig")
        and (data.get("alg") is None or data.get("alg") in list(algorithm.names))
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )


def _import(data: Mapping[str, Any]) -> Key | None:
    try:
        return JWKRegistry.import_key({name: value for name, value in data.items() if name not in _ABOUT})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        _log.warning("jwks key skipped", kid=repr(data.get("kid"))[:100], reason=type(error).__name__)
        return None


# Keys are fetched again after this time ...
_FRESH_S = 600.0
# ... and are used for this long if fetching fails. A provider's outage must not stop this service, but withdrawn keys
# must expire eventually.
_USABLE_S = 3600.0
# Tokens with unknown keys are free to make: they must not cause more frequent requests to the provider.
_PAUSE_S = 30.0
# Shorter without keys, because no user can log in meanwhile.
_PAUSE_WITHOUT_KEYS_S = 5.0


Fetch = Callable[[], Awaitable[bytes]]
"""Returns a key set (may slightly exceed ``MAX_ANSWER_BYTES``); raises ``OSError``, ``BadStatus`` or one of
``NO_ANSWER``."""


class KeyBook:
    """The keys of one source. The first request that needs them fetches them; others wait for its result.

    Args:
        source: Name of the source for the log, without credentials.
        fetch: Fetches the key set.
        algorithm: The algorithm that keys must fit.
        known: Keys that are available from the start.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        source: str,
        fetch: Fetch,
        algorithm: Algorithm,
        *,
        known: PublicKeys | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._fetch = fetch
        self._algorithm = algorithm
        self._clock = clock
        self._keys = known
        self._fetched_at = float("-inf") if known is None else clock()
        self._asked_at = float("-inf")
        self._fetching = trio.Lock()

    def at(self, source: str, fetch: Fetch) -> KeyBook:
        """Return the book of the same keys at another address: the fetched ones are used until it has fetched its own.

        At the same address, this is the same book.
        """
        if source == self._source:
            return self
        made = KeyBook(source, fetch, self._algorithm, clock=self._clock)
        # Old enough to be fetched at the next use.
        made._keys, made._fetched_at = self._keys, min(self._fetched_at, self._clock() - _FRESH_S)
        return made

    async def find(self, kid: str | None) -> Key:
        """Return the key that a token names by ``kid``.

        Raises:
            Unauthenticated: No key has that name, or keys are unavailable now.

        Cancellation: a started fetch is finished first, within ``ANSWER_TIMEOUT_S``, because others wait for it too.
        """
        key = self._lookup(kid)
        if key is not None and (self._is_fresh() or self._fetching.locked()):
            return key
        if self._may_fetch():
            async with self._fetching:
                # Checked again: another request may have fetched while this one waited for the lock.
                if self._may_fetch():
                    await self._refresh()
            key = self._lookup(kid)
        if key is not None:
            return key
        if self._usable_keys() is None:
            raise Unauthenticated(
                "Tokens cannot be checked now, because their keys are unavailable; try again in a moment.",
                reason="keys_unavailable",
            )
        raise Unauthenticated(
            "The token is signed with a key that this service does not know; get a new one.", reason="unknown_key"
        )

    def _usable_keys(self) -> PublicKeys | None:
        return self._keys if self._clock() - self._fetched_at < _USABLE_S else None

    def _lookup(self, kid: str | None) -> Key | None:
        keys = self._usable_keys()
        return None if keys is None else keys.find(kid)

    def _is_fresh(self) -> bool:
        return self._clock() - self._fetched_at < _FRESH_S

    def _may_fetch(self) -> bool:
        pause_s = _PAUSE_WITHOUT_KEYS_S if self._usable_keys() is None else _PAUSE_S
        return self._clock() - self._asked_at >= pause_s

    async def _refresh(self) -> None:
        # Shielded, since all requests need the result: clients that disconnect must not prevent every fetch.
        with trio.CancelScope(shield=True, deadline=trio.current_time() + ANSWER_TIMEOUT_S) as scope:
            try:
                self._keys = parse_key_set(await self._fetch(), self._algorithm)
            except (BadKeySet, BadStatus) as error:
                self._say_failed(f"it {error}")
            except NO_ANSWER as error:
                self._say_failed(f"{type(error).__name__} {error}".strip()[:200])
            except OSError as error:
                self._say_failed(error.strerror or type(error).__name__)
            else:
                self._fetched_at = self._clock()
        if scope.cancelled_caught:
            self._say_failed(f"no answer within {ANSWER_TIMEOUT_S:g} s")
        self._asked_at = self._clock()

    def _say_failed(self, reason: str) -> None:
        _log.warning(
            "jwks fetch failed", source=self._source, reason=reason, keys_known=self._usable_keys() is not None
        )


def fetch_url(url: str) -> tuple[str, Fetch]:
    """Return a function that fetches the key set at ``url``, and the URL for the log (no user, password or query).

    Raises:
        ConfigurationError: It is not an HTTP URL.
    """
    try:
        endpoint = Endpoint.at(url)
    except BadAddress:
        raise ConfigurationError(
            "PREVIEW_JWKS_URL is not an address; write https://HOST/PATH, without a password."
        ) from None
    if not endpoint.is_private:
        _log.warning("jwks not encrypted", source=endpoint.name)
    return endpoint.name, endpoint.ask


def fetch_file(path: Path) -> Fetch:
    """Return a function that reads the key set from ``path`` each time, so a replaced file is noticed."""
    # A limiter of its own: a file on a dead network share may block its thread forever, but no other.
    limiter = trio.CapacityLimiter(1)

    async def fetch() -> bytes:
        return await trio.to_thread.run_sync(_read, path, abandon_on_cancel=True, limiter=limiter)

    return fetch


def read_key_file(path: Path, algorithm: Algorithm) -> PublicKeys:
    """Read the keys from a file synchronously.

    Raises:
        ConfigurationError: The file cannot be read, or contains no key for the algorithm.
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
        return file.read(MAX_ANSWER_BYTES + 1)
