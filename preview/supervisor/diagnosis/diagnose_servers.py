"""Diagnosis of a refused connection to a mail server, to Memcached, or to another program's HTTP server. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from preview.detection import Variable
from preview.supervisor.diagnosis.diagnose_services import WITH_ADDRESS
from preview.supervisor.diagnosis.diagnosis import Address, Diagnosis

_REFUSED = re.compile(
    r"ECONNREFUSED|ConnectionRefusedError|\[Errno 111\]|All connection attempts failed|[Cc]onnection refused"
)
_HOST = re.compile(r"Cannot connect to host (?P<host>[\w.:-]{1,253}?):(?P<port>\d{1,5})\b")
_MAIL = re.compile(r"smtplib|nodemailer|smtp-connection|\bSMTP\b")
_MAIL_PORTS = frozenset({25, 465, 587, 1025, 2525})
_MEMCACHED = re.compile(r"pymemcache|pylibmc|bmemcached|\bmemjs\b|python-memcached")
_HTTP = re.compile(r"urllib|requests|httpcore|httpx|aiohttp|axios|undici|fetch failed|HTTPS?Connection")
_AROUND_LINES = 40
# In the order of preference. Port variables alone do not say where the server is.
_MAIL_SETTINGS = re.compile(r"(?:SMTP|MAIL).{0,20}(?:HOST|SERVER|URL)|(?:SMTP|MAIL)$", re.IGNORECASE)
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


def diagnose_server(lines: Sequence[str], variables: Iterable[Variable] = ()) -> Diagnosis | None:
    """Diagnose the newest refused connection to a mail server, Memcached or an HTTP server; None if there is none.

    Args:
        lines: The program's output, oldest first, bounded and without colours.
        variables: Variables of the start plan; one may hold the address.
    """
    for number in range(len(lines) - 1, -1, -1):
        if not _REFUSED.search(lines[number]):
            continue
        around = lines[max(0, number - _AROUND_LINES) : number + _AROUND_LINES]
        address = _address(around)
        text = "\n".join(around)
        if (address is not None and address[1] in _MAIL_PORTS) or _MAIL.search(text):
            return _missing("a mail server", address, find_setting(address, variables, is_mail=True))
        if _MEMCACHED.search(text):
            return _missing("Memcached", address, find_setting(address, variables))
        if address is not None or _HTTP.search(text):
            return _missing("a server", address, find_setting(address, variables))
    return None


def find_setting(address: Address | None, variables: Iterable[Variable], *, is_mail: bool = False) -> Variable | None:
    """Return the variable whose value has this address, or is its port; without one, a mail server's."""
    listed = list(variables)
    if address is not None:
        host, port = address
        hosts = _LOCAL if host in _LOCAL else {host}
        for one in listed:
            if any(f"{name}:{port}" in one.value or f"[{name}]:{port}" in one.value for name in hosts):
                return one
            if host not in _LOCAL and host in one.value:
                return one
        for one in listed:
            if one.value == str(port) and one.name.upper().endswith("PORT"):
                return one
    return next((one for one in listed if _MAIL_SETTINGS.search(one.name)), None) if is_mail else None


def is_about_mail(lines: Sequence[str]) -> bool:
    """Return True if a library for mail printed one of the lines."""
    return any(_MAIL.search(line) for line in lines)


def _address(around: Sequence[str]) -> Address | None:
    for line in reversed(around):
        for pattern in (_HOST, *WITH_ADDRESS):
            if (match := pattern.search(line)) and match["port"]:
                return match["host"], int(match["port"])
    return None


def _missing(what: str, address: Address | None, setting: Variable | None) -> Diagnosis:
    host, port = address or (None, None)
    at = "" if host is None else f" at [{host}]:{port}" if ":" in host else f" at {host}:{port}"
    source = "" if setting is None else f" (setting {', '.join(filter(None, (setting.name, setting.where)))})"
    advice = "Start one there." if setting is None else f"Start one or set {setting.name}."
    message = f"It needs {what}{at}{source}, and nothing answers there. {advice}"
    facts = {"host": host, "port": port, "setting": setting and setting.name, "where": setting and setting.where}
    return Diagnosis("missing_service", message, {"service": what.removeprefix("a "), **facts})
