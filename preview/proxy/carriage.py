"""Rules for header fields between browsers and previews: which pass, which are dropped, which are written again.

Pure: the relay and the ordinary way carry by the same rules, endpoint calls with the differences that ``call_fields``
names. Framing is theirs: ``Content-Length`` passes as it came (the writer of the message knows whether it still
holds), ``Transfer-Encoding`` never does.

Source: RFC 9110 sections 7.6.1 (Connection), 7.6.3 (Via), 6.5.1 (trailers); RFC 7239 (Forwarded).

Response fields that affect more than the preview's own page are dropped from every answer. They stand in two tables.
The first has fields that a proxy or CDN in front of the service obeys: it would serve its own files, fetch other
addresses, or change its cache for everybody. The second has fields that a browser applies to a whole origin; they are
dropped where a preview shares its origin with others (the path form).

``docs/relay.md`` lists both; ``tests/proxy/test_proxy_powerful_fields.py`` has a test for each row.
"""

from __future__ import annotations

import re
from functools import lru_cache

from preview.proxy.admission import Admitted, Fields, RequestHead
from preview.proxy.headers import (
    ACCESS_COOKIE,
    HOP_BY_HOP,
    REQUEST_ID_FIELD,
    SERVICE_COOKIE,
    TOKEN_HEADER,
    is_sane_request_id,
    new_request_id,
)
from preview.proxy.http1 import Field

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
    """Return whether a proxy in front of the service would obey this field.

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


_ABSOLUTE = re.compile(rb"(?:https?:)?//([^/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
# HTML Living Standard, shared declarative refresh steps: a number, ``;`` or ``,``, and the address, in quotes or not.
_REFRESH = re.compile(rb"([ \t]*[0-9.]*[ \t]*[;,]?[ \t]*(?:url[ \t]*=[ \t]*)?['\"]?)(.*)", re.IGNORECASE | re.DOTALL)
# Under which a program on this machine knows itself.
_LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"0.0.0.0", b"[::1]", b"[::]"})


def returned_location(value: bytes, head: RequestHead, admitted: Admitted) -> bytes:
    """Return a preview's own address in public form; other and relative addresses unchanged.

    Its own socket's address becomes the public one. In the path form the prefix is put in front of a path, unless the
    preview (which was told the prefix) has done so.
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
    """``5; url=/next`` with its address as ``returned_location`` gives it."""
    found = _REFRESH.match(value)
    if found is None or not found.group(2):
        return value
    return found.group(1) + returned_location(found.group(2), head, admitted)


def returned_clearing(value: bytes) -> bytes:
    """``Clear-Site-Data`` without cookies; empty where nothing is left.

    Browsers clear those of the whole registrable domain (the specification's section 3.1): other previews' access, and
    that to this one, would be gone with them.
    """
    kinds = [kind.strip(b" \t") for kind in value.split(b",")]
    known = [b'"cache", "storage"' if kind == b'"*"' else kind for kind in kinds if kind.lower() != b'"cookies"']
    return b", ".join(kind for kind in known if kind)


def returned_cookie(value: bytes, prefix: str, refused: tuple[bytes, ...]) -> bytes | None:
    """Return a cookie limited to this host, and in the path form to the preview's path; None if forbidden.

    Args:
        value: Of ``Set-Cookie`` (RFC 6265 section 5.2).
        prefix: Of the path form, or empty.
        refused: What the name of no cookie may hold, in lower case.
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
            # A value that is no path means the request's folder, which is below the prefix.
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
# Said again from what is known of the connection: what the client wrote there it may have invented.
_ANEW = frozenset(
    {b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port",
     b"x-forwarded-prefix", b"x-forwarded-server", b"x-forwarded-ssl", b"x-forwarded-scheme", b"x-real-ip"}
)  # fmt: skip
# ``Proxy`` becomes the variable HTTP_PROXY of a CGI or WSGI program, and its own requests would go there ("httpoxy").
_NOT_FOR_PREVIEWS = frozenset({TOKEN_HEADER.encode(), b"http2-settings", b"proxy"})
NEVER_CARRIED = _HOP_BY_HOP | _NOT_FOR_PREVIEWS | {b"host", b"expect"}
_DROPPED = NEVER_CARRIED | _ANEW | {REQUEST_ID_FIELD}
# Fields by which a message is read or led: naming them in ``Connection`` does not take them out.
_NEVER_NAMED = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"content-range", b"cookie"}
)
# RFC 9110 section 6.5.1, and what this service would have changed or refused among the fields before the content.
_NO_TRAILERS = _HOP_BY_HOP | frozenset(
    {b"authorization", b"cache-control", b"content-encoding", b"content-length", b"content-location", b"content-range",
     b"content-security-policy", b"content-type", b"cookie", b"date", b"expires", b"host", b"location", b"refresh",
     b"set-cookie", b"vary", b"www-authenticate"}
) | ORIGIN_FIELDS  # fmt: skip
_OWN_COOKIES = (SERVICE_COOKIE.encode(), ACCESS_COOKIE.encode())
_VIA = b"1.1 preview"
_NONE: frozenset[bytes] = frozenset()
_DEFAULT_PORTS = {"http": b"80", "https": b"443"}


def carried_fields(head: RequestHead, admitted: Admitted) -> tuple[list[Field], bytes]:
    """Return the fields for the preview, and the request's id.

    ``Host`` is what the browser sees: links, redirects, cookies and checks of ``Origin`` are made from it. Hop-by-hop
    fields, those that ``Connection`` names, ``Expect`` and the service's own secrets (its cookies, the preview's token,
    a bearer token that was used for access) are left out; who asks, and how, is said again.
    """
    kept, number = standing_fields(head, admitted)
    number = number or new_request_id()
    kept.append((REQUEST_ID_FIELD, number))
    return kept, number


def standing_fields(head: RequestHead, admitted: Admitted) -> tuple[list[Field], bytes]:
    """``carried_fields`` without the request's number; and the number that the client gave it, or nothing.

    The target changes none of it.
    """
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
            # CGI and WSGI know a field by a name in which a hyphen is an underscore: it would be the same one there.
            if b"_" not in name or name.replace(b"_", b"-") not in dropped:
                kept.append(field)
        elif name == REQUEST_ID_FIELD and not number and is_sane_request_id(value):
            number = value
    kept += _who_asks(head.via or ((head.client,) if head.client else ()), host, head.scheme, admitted.prefix)
    return kept, number


def answer_fields(fields: Fields, head: RequestHead, admitted: Admitted, number: bytes) -> list[Field]:
    """Return the response's fields for the browser.

    Hop-by-hop fields are left out, and the preview's own address in ``Location`` and the like becomes the public one.
    Cookies are for this host alone (no ``Domain``) and in the path form for this path alone; none of the service's own
    names passes. Fields that a front proxy obeys are left out, and in the path form those that a browser applies to the
    whole origin (``ORIGIN_FIELDS``). All else is as the preview wrote it.

    Args:
        fields: As ``RequestHead.fields``.
        head: The request's.
        admitted: Its admission.
        number: As ``carried_fields`` gave it; said where the preview says none.
    """
    kept, is_numbered = returned_fields(fields, head, admitted)
    if not is_numbered:
        kept.append((REQUEST_ID_FIELD, number))
    return kept


def returned_fields(fields: Fields, head: RequestHead, admitted: Admitted) -> tuple[list[Field], bool]:
    """``answer_fields`` without the request's number; and whether the preview has said one itself."""
    dropped = _HOP_BY_HOP
    if named := named_by_connection(fields):
        dropped |= named
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
    """Return the response's trailers for the browser: none with a meaning before the content."""
    return [field for field in fields if field[0] not in _NO_TRAILERS and not is_powerful(*field)]


def named_by_connection(fields: Fields) -> frozenset[bytes]:
    """Return the fields that ``Connection`` names, in lower case."""
    said = [value for name, value in fields if name == b"connection"]
    if not said:
        return _NONE
    return frozenset(option.strip(b" \t").lower() for option in b",".join(said).split(b",")) - _NEVER_NAMED


def without_own_cookies(value: bytes) -> bytes:
    """Return the pairs of ``Cookie`` for the preview; may be empty."""
    # Anywhere in a pair: lenient readers find a cookie behind a quote, a comma or a space, too.
    if not any(name in value for name in _OWN_COOKIES):
        return value
    pairs = (pair.strip() for pair in value.split(b";"))
    return b"; ".join(pair for pair in pairs if pair and not any(name in pair for name in _OWN_COOKIES))


@lru_cache(maxsize=256)
def _who_asks(hops: tuple[str, ...], host: bytes, scheme: str, prefix: str) -> tuple[Field, ...]:
    """Both the usual fields and the standard's: frameworks read the one or the other."""
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
    """Return an address as RFC 7239 section 6 writes it: IPv6 in brackets, and those in quotes."""
    return b'"[%b]"' % address if b":" in address else address


def _port(host: bytes) -> bytes:
    """Return the port in ``HOST:PORT`` or ``[IPV6]:PORT``; empty if there is none."""
    before, colon, port = host.rpartition(b":")
    return port if colon and port.isdigit() and (b":" not in before or before.endswith(b"]")) else b""
