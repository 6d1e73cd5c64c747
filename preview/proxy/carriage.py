"""Rules for header fields between browsers and previews: which pass, which are dropped, which are rewritten.

The functions are pure. The relay and the ASGI path use the same rules; ``call_fields`` lists the differences for
endpoint calls. Callers handle framing: ``Content-Length`` passes unchanged (the writer of the message knows whether it
still applies), ``Transfer-Encoding`` never passes.

Source: RFC 9110 sections 7.6.1 (Connection), 7.6.3 (Via), 6.5.1 (trailers); RFC 7239 (Forwarded).

Response fields that affect more than the preview's own page are dropped from every response, by two tables. Fields in
the first are obeyed by a proxy or CDN in front of the service: it would serve its own files, fetch other addresses, or
change its cache for everybody. Fields in the second apply to a whole origin in the browser; they are dropped if a
preview shares its origin with others (the path form).

``docs/relay.md`` lists both; ``tests/proxy/test_proxy_powerful_fields.py`` has a test for each row.
"""

from __future__ import annotations

import re
from functools import lru_cache

from preview.core.ids import REQUEST_MARK
from preview.proxy.admission import Admitted, Fields, RequestHead
from preview.proxy.headers import (
    ACCESS_COOKIE,
    HOP_BY_HOP,
    NODE_FIELD,
    REQUEST_ID_FIELD,
    SERVICE_COOKIE,
    TOKEN_HEADER,
    is_sane_request_id,
    new_request_id,
)
from preview.proxy.http1 import Field
from preview.proxy.page_refresh import asks_for_document, uncompressed
from preview.proxy.passing_on import NOT_OWNER_FIELD, passed_fields
from preview.tracing import PARENT_FIELD, parent_field, read_parent

FRONT_PROXY_FIELDS = frozenset(
    {
        # Make the front server send one of its files: Apache's mod_xsendfile, lighttpd, Passenger, Thruster.
        b"x-sendfile", b"x-sendfile2", b"x-sendfile-temporary", b"x-lighttpd-send-file",
        b"x-lighttpd-send-tempfile",
        # Targeted cache control (RFC 9213), CDNs' own names for it, and invalidation by tag.
        b"cdn-cache-control", b"edge-control", b"edge-cache-tag", b"cache-tag", b"cache-tags", b"xkey",
    }
)  # fmt: skip
"""Names in lower case."""

FRONT_PROXY_PREFIXES = (
    b"x-accel-",  # nginx: internal redirect, rate, cache time, character set
    b"x-litespeed-",  # LiteSpeed: internal redirect, cache
    b"x-reproxy-",  # Perlbal: fetches the named address
    b"surrogate-",  # Edge Architecture: Varnish, Fastly, Akamai
    b"x-envoy-",  # Envoy: takes the whole service out of its pool (x-envoy-immediate-health-check-fail), retries
    b"fly-",  # Fly.io: sends the request to another application (fly-replay)
    b"x-middleware-",  # Vercel, Next.js: rewrites the request
    b"cloudflare-cdn-", b"vercel-cdn-", b"netlify-", b"x-vercel-", b"fastly-", b"akamai-",
)  # fmt: skip
"""Prefixes of names, in lower case."""

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
"""Names in lower case. Sources: each field's specification; the field applies to the whole origin."""

_BUFFERING = b"x-accel-buffering"
# Longer than each exact name and each prefix. Bounds the cache of 1,024 names, which previews can invent.
_NAME_BYTES = 64


def is_powerful(name: bytes, value: bytes) -> bool:
    """Return whether a proxy in front of the service would obey this field.

    ``X-Accel-Buffering: no`` passes: streams need it, and it affects only its own response.

    Args:
        name: In lower case.
        value: As written.
    """
    return _is_powerful_name(name[:_NAME_BYTES]) and (name != _BUFFERING or value.lower() != b"no")


@lru_cache(maxsize=1024)
def _is_powerful_name(name: bytes) -> bool:
    # Front servers that map fields to variables treat hyphens and underscores as equal.
    name = name.replace(b"_", b"-")
    return name.startswith(FRONT_PROXY_PREFIXES) or name in FRONT_PROXY_FIELDS


_ABSOLUTE = re.compile(rb"(?:https?:)?//([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
# HTML Living Standard, shared declarative refresh steps: a number, ``;`` or ``,``, and the address, in quotes or not.
_REFRESH = re.compile(rb"([ \t]*[0-9.]*[ \t]*[;,]?[ \t]*(?:url[ \t]*=[ \t]*)?['\"]?)(.*)", re.IGNORECASE | re.DOTALL)
# Names by which a program refers to its own machine.
_LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"0.0.0.0", b"[::1]", b"[::]"})


def returned_location(value: bytes, head: RequestHead, admitted: Admitted) -> bytes:
    """Return a preview's own address in public form; other and relative addresses unchanged.

    The address of the preview's socket becomes the public one. In the path form, paths get the prefix unless the
    preview, which knows the prefix, has already added it.
    """
    prefix = admitted.prefix.encode()
    found = _ABSOLUTE.match(value)
    if found is None:
        return _prefixed(value, prefix) if value.startswith(b"/") else value
    authority, rest = found.group(1).lower(), found.group(2)
    if _is_own_socket(authority, admitted):
        return b"%b://%b%b" % (head.scheme.encode(), head.host.encode("latin-1"), _prefixed(rest, prefix))
    if prefix and authority == head.host.encode("latin-1"):
        return value[: found.start(2)] + _prefixed(rest, prefix)
    return value


def returned_refresh(value: bytes, head: RequestHead, admitted: Admitted) -> bytes:
    """Return a ``Refresh`` value (``5; url=/next``) with its address converted by ``returned_location``."""
    found = _REFRESH.match(value)
    if found is None or not found.group(2):
        return value
    return found.group(1) + returned_location(found.group(2), head, admitted)


def returned_clearing(value: bytes) -> bytes:
    """Return a ``Clear-Site-Data`` value without cookies; empty if nothing is left.

    Browsers clear cookies of the whole registrable domain (the specification's section 3.1). That would end the access
    to this preview and to others.
    """
    kinds = [kind.strip(b" \t") for kind in value.split(b",")]
    known = [b'"cache", "storage"' if kind == b'"*"' else kind for kind in kinds if kind.lower() != b'"cookies"']
    return b", ".join(kind for kind in known if kind)


def returned_cookie(value: bytes, prefix: str, refused: tuple[bytes, ...]) -> bytes | None:
    """Return a cookie limited to this host, and in the path form to the preview's path; None if forbidden.

    Args:
        value: Value of ``Set-Cookie`` (RFC 6265 section 5.2).
        prefix: Prefix of the path form, or empty.
        refused: Texts that no cookie's name may contain, in lower case.
    """
    pair, *attributes = value.split(b";")
    # A cookie without a name is sent as its value alone, which may look like a name (RFC 6265bis section 5.7).
    name = (pair.partition(b"=")[0].strip() or pair).lower()
    if any(one in name for one in refused):
        return None
    kept = [pair]
    for attribute in attributes:
        label, sign, given = attribute.partition(b"=")
        lowered = label.strip().lower()
        if lowered == b"domain":
            continue
        if prefix and lowered == b"path":
            path = given.strip()
            # A value that is not a path means the request's folder, which is below the prefix.
            if path.startswith(b"/"):
                kept.append(b"%b%b%b" % (label, sign, _prefixed(path, prefix.encode())))
            continue
        kept.append(attribute)
    return b";".join(kept)


def _prefixed(path: bytes, prefix: bytes) -> bytes:
    """Return the path (with its query) below the prefix."""
    if not prefix or path == prefix or path.startswith((prefix + b"/", prefix + b"?", prefix + b"#")):
        return path
    return prefix + (path if path.startswith(b"/") else b"/" + path)


def _is_own_socket(authority: bytes, admitted: Admitted) -> bool:
    host, port = admitted.address
    name, _, given = authority.rpartition(b":")
    own = f"[{host}]" if ":" in host else host
    return given == str(port).encode() and (name in _LOOPBACK or name == own.encode())


_HOP_BY_HOP = frozenset(name.encode() for name in HOP_BY_HOP)
# Written again from the connection's data, because a client can invent these fields.
_ANEW = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port",
     b"x-forwarded-prefix", b"x-forwarded-server", b"x-forwarded-ssl", b"x-forwarded-scheme", b"x-real-ip"}
)  # fmt: skip
# CGI and WSGI programs see ``Proxy`` as the variable HTTP_PROXY and would send requests there ("httpoxy").
_NOT_FOR_PREVIEWS = frozenset({TOKEN_HEADER.encode(), NODE_FIELD, b"http2-settings", b"proxy"})
NEVER_CARRIED = _HOP_BY_HOP | _NOT_FOR_PREVIEWS | {b"host", b"expect"}
# A preview cannot say that another node has it.
_NEVER_RETURNED = _HOP_BY_HOP | {NOT_OWNER_FIELD}
_DROPPED = NEVER_CARRIED | _ANEW | {REQUEST_ID_FIELD}
# Fields that determine how a message is read or routed: ``Connection`` cannot remove them.
_NEVER_NAMED = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"content-range", b"cookie"}
)
# RFC 9110 section 6.5.1, and fields that the service rewrites or rejects before the content.
_NO_TRAILERS = _HOP_BY_HOP | frozenset(
    {b"authorization", b"cache-control", b"content-encoding", b"content-length", b"content-location", b"content-range",
     b"content-security-policy", b"content-type", b"cookie", b"date", b"expires", b"host", b"location", b"refresh",
     b"set-cookie", b"vary", b"www-authenticate"}
) | ORIGIN_FIELDS  # fmt: skip
_OWN_COOKIES = (SERVICE_COOKIE.encode(), ACCESS_COOKIE.encode())
_OWN_ID = re.compile(b"%b[0-9a-f]{16}" % REQUEST_MARK.encode())
_VIA = b"1.1 preview"
_NONE: frozenset[bytes] = frozenset()
_DEFAULT_PORTS = {"http": b"80", "https": b"443"}


def carried_fields(head: RequestHead, admitted: Admitted) -> tuple[list[Field], bytes]:
    """Return the fields for the preview, and the request's id.

    ``Host`` is the host that the browser sees, because links, redirects, cookies and ``Origin`` checks depend on it.
    These are dropped: hop-by-hop fields, fields that ``Connection`` names, ``Expect`` and the service's own secrets
    (its cookies, the preview's token, a bearer token used for access). Fields about the client are written again.
    """
    kept, number = standing_fields(head, admitted)
    number = number or new_request_id()
    kept.append((REQUEST_ID_FIELD, number))
    if makes_parent(kept, admitted):
        kept.append((PARENT_FIELD, new_parent(number)))
    return kept, number


def makes_parent(fields: list[Field], admitted: Admitted) -> bool:
    """Return whether a request with these fields gets a ``traceparent``, because it has none."""
    return admitted.is_traced and all(name != PARENT_FIELD for name, _ in fields)


def new_parent(number: bytes) -> bytes:
    """Return a ``traceparent`` from the bits of the request's id, or of a new id if a client has chosen it."""
    return parent_field(number if _OWN_ID.fullmatch(number) else new_request_id())


def standing_fields(head: RequestHead, admitted: Admitted) -> tuple[list[Field], bytes]:
    """Return the fields of ``carried_fields`` without the request id, and the client's own request id or nothing.

    The result does not depend on the target.
    """
    if admitted.is_node:
        return passed_fields(head, named_by_connection(head.fields))
    dropped = _DROPPED
    if named := named_by_connection(head.fields):
        dropped |= named
    if admitted.hides_authorization:
        dropped |= {b"authorization"}
    host = head.host.encode("latin-1")
    kept: list[Field] = [(b"host", host)]
    number = b""
    for field in head.fields:
        name, value = field
        if name == b"cookie":
            value = without_own_cookies(value)
            if value:
                kept.append((name, value))
        elif name not in dropped:
            # CGI and WSGI treat hyphens and underscores in names as equal.
            if b"_" not in name or name.replace(b"_", b"-") not in dropped:
                kept.append(field)
        elif name == REQUEST_ID_FIELD and not number and is_sane_request_id(value):
            number = value
    if asks_for_document(head, admitted):
        kept = uncompressed(kept)
    if admitted.is_traced:
        kept = [one for one in kept if one[0] != PARENT_FIELD or read_parent(one[1]) is not None]
    kept += _who_asks(head.via or ((head.client,) if head.client else ()), host, head.scheme, admitted.prefix)
    return kept, number


def answer_fields(fields: Fields, head: RequestHead, admitted: Admitted, number: bytes) -> list[Field]:
    """Return the response's fields for the browser.

    Hop-by-hop fields are dropped. The preview's own address becomes the public one in ``Location`` and similar fields.
    Cookies are limited to this host (no ``Domain``), and in the path form to the preview's path; cookies with the
    service's own names are dropped. So are fields that a front proxy obeys and, in the path form, fields that apply to
    the whole origin (``ORIGIN_FIELDS``). All others pass unchanged.

    Args:
        fields: As ``RequestHead.fields``.
        head: The request's head.
        admitted: The request's admission.
        number: Request id from ``carried_fields``; added if the preview sends none.
    """
    kept, is_numbered = returned_fields(fields, head, admitted)
    if not is_numbered:
        kept.append((REQUEST_ID_FIELD, number))
    return kept


def returned_fields(fields: Fields, head: RequestHead, admitted: Admitted) -> tuple[list[Field], bool]:
    """Return the fields of ``answer_fields`` without the request id, and whether the preview has sent an id itself."""
    dropped = _HOP_BY_HOP if admitted.is_node else _NEVER_RETURNED
    if named := named_by_connection(fields):
        dropped |= named
    if admitted.is_node:
        passed = [field for field in fields if field[0] not in dropped]
        return passed, any(name == REQUEST_ID_FIELD for name, _ in passed)
    if admitted.prefix:
        dropped |= ORIGIN_FIELDS
    kept: list[Field] = []
    numbered = False
    for field in fields:
        name, value = field
        if name in dropped or is_powerful(name, value):
            continue
        if name == b"set-cookie":
            cookie = returned_cookie(value, admitted.prefix, _OWN_COOKIES)
            if cookie is not None:
                kept.append((name, cookie))
        elif name in {b"location", b"content-location"}:
            kept.append((name, returned_location(value, head, admitted)))
        elif name == b"clear-site-data":
            clearing = returned_clearing(value)
            if clearing:
                kept.append((name, clearing))
        elif name == b"refresh":
            kept.append((name, returned_refresh(value, head, admitted)))
        else:
            numbered = numbered or name == REQUEST_ID_FIELD
            kept.append(field)
    kept += admitted.answer_fields
    return kept, numbered


def trailer_fields(fields: Fields) -> list[Field]:
    """Return the response's trailers for the browser, without fields that have a meaning before the content."""
    return [field for field in fields if field[0] not in _NO_TRAILERS and not is_powerful(*field)]


def named_by_connection(fields: Fields) -> frozenset[bytes]:
    """Return the names of the fields that ``Connection`` lists, in lower case."""
    said = [value for name, value in fields if name == b"connection"]
    if not said:
        return _NONE
    return frozenset(option.strip(b" \t").lower() for option in b",".join(said).split(b",")) - _NEVER_NAMED


def without_own_cookies(value: bytes) -> bytes:
    """Return the ``Cookie`` value without the service's own cookies; may be empty."""
    # Searched anywhere in a pair: lenient parsers find a cookie after a quote, a comma or a space, too.
    if not any(name in value for name in _OWN_COOKIES):
        return value
    pairs = (pair.strip() for pair in value.split(b";"))
    return b"; ".join(pair for pair in pairs if pair and not any(name in pair for name in _OWN_COOKIES))


@lru_cache(maxsize=256)
def _who_asks(hops: tuple[str, ...], host: bytes, scheme: str, prefix: str) -> tuple[Field, ...]:
    """Return the forwarding fields in both forms, ``X-Forwarded-*`` and RFC 7239: frameworks read either."""
    nodes = [hop.encode() for hop in hops]
    first = b'host="%b";proto=%b' % (host, scheme.encode())
    if nodes:
        first = b"for=%b;%b" % (_node(nodes[0]), first)
    said = [
        (b"x-forwarded-proto", scheme.encode()),
        (b"x-forwarded-host", host),
        (b"x-forwarded-port", _port(host) or _DEFAULT_PORTS.get(scheme, b"80")),
        (b"forwarded", b", ".join([first, *(b"for=" + _node(hop) for hop in nodes[1:])])),
        (b"via", _VIA),
    ]
    if nodes:
        said.append((b"x-forwarded-for", b", ".join(nodes)))
    if prefix:
        said.append((b"x-forwarded-prefix", prefix.encode()))
    return tuple(said)


def _node(address: bytes) -> bytes:
    """Return an address in the form of RFC 7239 section 6: IPv6 in brackets and quotes."""
    return b'"[%b]"' % address if b":" in address else address


def _port(host: bytes) -> bytes:
    """Return the port in ``HOST:PORT`` or ``[IPV6]:PORT``; empty if there is none."""
    before, colon, port = host.rpartition(b":")
    return port if colon and port.isdigit() and (b":" not in before or before.endswith(b"]")) else b""
