"""Response fields by which a preview could command more than its own page: dropped from every answer.

Two tables. The first has what a proxy or CDN in front of the service acts on: it would serve its own files, fetch other
addresses, or change its cache for everybody. The second has what a browser applies to a whole origin: it is dropped
where a preview shares its origin with others (the path form).

``docs/proxy.md`` lists both; ``tests/proxy/test_proxy_powerful_fields.py`` has a test for each row.
"""

from __future__ import annotations

from functools import lru_cache

FRONT_PROXY_FIELDS = frozenset(
    {
        # Serve a file of the front server's: Apache's mod_xsendfile, lighttpd, Passenger, Thruster.
        b"x-sendfile", b"x-sendfile2", b"x-sendfile-temporary", b"x-lighttpd-send-file",
        b"x-lighttpd-send-tempfile",
        # Targeted cache control (RFC 9213) and the names of CDNs for the same; invalidation by tag.
        b"cdn-cache-control", b"edge-control", b"edge-cache-tag", b"cache-tag", b"cache-tags", b"xkey",
    }
)  # fmt: skip
"""In lower case."""

FRONT_PROXY_PREFIXES = (
    b"x-accel-",  # nginx: internal redirect, rate, cache time, character set
    b"x-litespeed-",  # LiteSpeed: internal redirect, cache
    b"x-reproxy-",  # Perlbal: fetches the address that is named
    b"surrogate-",  # Edge Architecture: Varnish, Fastly, Akamai
    b"x-envoy-",  # Envoy: takes the whole service out of its pool (x-envoy-immediate-health-check-fail), retries
    b"fly-",  # Fly.io: sends the request to another application (fly-replay)
    b"x-middleware-",  # Vercel, Next.js: rewrites the request
    b"cloudflare-cdn-", b"vercel-cdn-", b"netlify-", b"x-vercel-", b"fastly-", b"akamai-",
)  # fmt: skip
"""Beginnings of names, in lower case."""

ORIGIN_FIELDS = frozenset(
    {
        b"accept-ch", b"activate-storage-access", b"alt-svc", b"clear-site-data", b"critical-ch", b"nel",
        b"origin-agent-cluster", b"public-key-pins", b"public-key-pins-report-only", b"report-to",
        b"sec-session-registration", b"secure-session-registration", b"sec-session-challenge",
        b"secure-session-challenge", b"service-worker-allowed", b"set-login", b"shared-storage-write",
        b"speculation-rules", b"strict-transport-security", b"use-as-dictionary",
        # Browsers answer Basic, Digest, NTLM and Negotiate with a password for the whole origin.
        b"www-authenticate",
    }
)  # fmt: skip
"""In lower case. Sources: each field's specification; it applies to the origin, and not to the one answer."""

_BUFFERING = b"x-accel-buffering"
# Longer than each exact name and each prefix: bounds what is kept of names that previews make up, 1,024 of them.
_NAME_BYTES = 64


def is_powerful(name: bytes, value: bytes) -> bool:
    """Whether a proxy in front of the service would act on this field.

    ``X-Accel-Buffering: no`` passes: streams need it, and it reaches no further than its own answer.

    Args:
        name: In lower case.
        value: As written.
    """
    return _is_powerful_name(name[:_NAME_BYTES]) and (name != _BUFFERING or value.lower() != b"no")


@lru_cache(maxsize=1024)
def _is_powerful_name(name: bytes) -> bool:
    # Fronts that map fields to variables do not tell a hyphen from an underscore.
    name = name.replace(b"_", b"-")
    return name.startswith(FRONT_PROXY_PREFIXES) or name in FRONT_PROXY_FIELDS
