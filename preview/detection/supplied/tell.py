"""Tell in a plan which servers the preview gets, and what in the source keeps the application from them."""

from __future__ import annotations

import ast
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from preview.detection.databases.services import SQL_KINDS, kind_of_call, kind_of_scheme
from preview.detection.expressions import keyword, last_name
from preview.detection.facts import Facts
from preview.detection.plan import ServiceKind, ServiceNeed, StartPlan, Step
from preview.detection.settings import ProjectSettings
from preview.detection.supplied.urls import LOCAL, SCHEMES, demands_tls, hosts_of, is_reached
from preview.sources import Sources

_DATABASES: Final = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.MONGODB})
_MODES: Final = frozenset({"require", "required", "verify-ca", "verify-full", "verify_ca", "verify_identity"})
_OPTIONS: Final = frozenset({"sslmode", "ssl_mode", "ssl"})
# They make each database's connections encrypted.
_PLATFORMS: Final = frozenset({"django_heroku.settings", "django_on_heroku.settings"})
_CALLS: Final = frozenset({"connect", "create_pool", "create_engine", "create_async_engine", "config", "parse"})
_DRIVERS: Final = frozenset(
    {
        "psycopg2",
        "psycopg",
        "asyncpg",
        "aiopg",
        "pymysql",
        "MySQLdb",
        "mysql",
        "aiomysql",
        "asyncmy",
        "redis",
        "aioredis",
    }
)
_CONTEXT: Final = re.compile(r"context|ctx|ssl", re.IGNORECASE)
_MOST: Final = 3
_SHOWN: Final = 200
_ENGINES: Final = {"postg": ServiceKind.POSTGRESQL, "mysql": ServiceKind.MYSQL}
# A part that the program fills in (`@{host}/`), or that static reading cannot tell.
_OPEN: Final = re.compile(r"[*{}<>%$]")
# A name or an address, not a folder of sockets.
_LEADABLE: Final = re.compile(r"[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}|[A-Za-z0-9_-]{1,63}")
# A name without dots may also be another text (`"shop"`), so it has to stand where a host does.
_LEAD: Final = """import re, sys
for file, host in zip(sys.argv[1::2], sys.argv[2::2]):
    text = open(file, encoding="utf-8", errors="surrogateescape", newline="").read()
    before = "(['\\"@])" if "." in host else "(@|(?i:host)['\\"]?[ ]{0,8}[:=][ ]{0,8}['\\"])"
    led = re.sub(before + re.escape(host) + "(?=['\\":/?])", "\\\\g<1>127.0.0.1", text)
    if led != text:
        open(file, "w", encoding="utf-8", errors="surrogateescape", newline="").write(led)
"""


def with_servers(plan: StartPlan, kinds: frozenset[ServiceKind]) -> StartPlan:
    """Return the plan with its supplied servers marked, and a decision for each."""
    if not kinds:
        return plan
    services = tuple(replace(need, supplied=need.kind in kinds) for need in plan.services)
    told = tuple(_sentence(need) for need in services if need.supplied)
    return replace(plan, services=services, decisions=(*plan.decisions, *told))


def with_administrator(plan: StartPlan) -> StartPlan:
    """Return the plan of a project that is the administrator of its PostgreSQL; unchanged without one."""
    services = tuple(
        replace(need, administers=need.supplied and need.kind is ServiceKind.POSTGRESQL) for need in plan.services
    )
    return replace(plan, services=services)


def _sentence(need: ServiceNeed) -> str:
    what = "database" if need.kind in _DATABASES else "server"
    places = ", ".join(part for part in (need.setting, need.where) if part)
    return f"{need.kind}: the preview gets a {what} of its own{f' ({places})' if places else ''}"


@dataclass(frozen=True, slots=True)
class Obstacles:
    """Fixed addresses and options of the source that keep an application from the supplied servers.

    Attributes:
        sentences: One for each.
        insists_on_tls: Whether one of them demands encryption.
        names: Names of servers elsewhere.
        ports: The kinds and ports of these.
        places: Files of Python that have such names as constants, each with one of them.
    """

    sentences: tuple[str, ...] = ()
    insists_on_tls: bool = False
    names: tuple[str, ...] = ()
    ports: tuple[tuple[ServiceKind, str], ...] = ()
    places: tuple[tuple[str, str], ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """The step that leads the names to this machine, in the preview's copy of the files; empty without any."""
        if not self.places:
            return ()
        hosts = ", ".join(dict.fromkeys(host for _, host in self.places))
        words = [word for place in self.places for word in place]
        why = f"the preview cannot reach {hosts[:_SHOWN]}: in its copy, the name leads to its own server"
        return (Step("addresses", ("python", "-c", _LEAD, *words), ".", why),)

    def applied(self, needs: Iterable[ServiceNeed]) -> tuple[ServiceNeed, ...]:
        """Return the needs, with what the obstacles say about them."""
        told = (replace(one, insists_on_tls=self.insists_on_tls) for one in needs)
        return tuple(replace(one, address=self._led_home(one.address)) for one in told)

    def _led_home(self, address: tuple[str, int] | None) -> tuple[str, int] | None:
        is_elsewhere = address is not None and address[0].lower() in self.names
        return (LOCAL, address[1]) if address is not None and is_elsewhere else address


def find_obstacles(
    sources: Sources, files: Iterable[str], facts: Facts, settings: ProjectSettings, kinds: frozenset[ServiceKind]
) -> Obstacles:
    """Return the fixed addresses and options in the source to which no supplied server answers as they are."""
    if not kinds & frozenset(SCHEMES):
        return Obstacles()
    # A default is replaced by a variable.
    defaults = {read.default for read in settings.reads.values()}
    fixed = [(one.text, one.where) for one in facts.addresses if one.text not in defaults]
    files = list(files)
    found = [*_hosts(sources, files, kinds), *_called_hosts(facts, kinds)]
    places = [(where.rpartition(":")[0], host) for host, where, is_led in found if is_led]
    places += [(where.rpartition(":")[0], host) for text, where in fixed if (host := _elsewhere_in(text, kinds))]
    led = tuple(dict.fromkeys(one for one in places if _LEADABLE.fullmatch(one[1])))[:_MOST_NAMES]
    names = tuple(host.lower() for _, host in led)
    hosts = [
        (_led_sentence if is_led and host.lower() in names else _host_sentence)(host, where, "server")
        for host, where, is_led in found
    ]
    demands = [tls_sentence(where) for where in _options(sources, files)]
    told = tell_addresses(fixed, kinds, names)
    sentences = (*told.sentences, *hosts[:_MOST], *demands[:_MOST])
    insists = told.insists_on_tls or bool(demands)
    return Obstacles(sentences, insists_on_tls=insists, names=names, places=led)


def _elsewhere_in(text: str, kinds: frozenset[ServiceKind]) -> str:
    """Return the only host of a URL for a supplied server, if it is elsewhere; else an empty text."""
    hosts = hosts_of(text) if kind_of_scheme(text) in kinds & frozenset(SCHEMES) else ()
    return hosts[0] if len(hosts) == 1 and not is_reached(hosts[0]) else ""


def tell_addresses(
    found: Iterable[tuple[str, str]], kinds: frozenset[ServiceKind], names: Container[str] = ()
) -> Obstacles:
    """Return the fixed URLs with another host or a demand of TLS.

    Args:
        found: URLs, each with its place.
        kinds: Kinds of servers that the preview gets.
        names: Hosts that lead to these where nothing else knows them.
    """
    sentences: dict[str, None] = {}
    insists = False
    for text, where in found:
        kind = kind_of_scheme(text)
        if kind not in kinds or kind not in SCHEMES:
            continue
        host = next((one for one in hosts_of(text) if one and not _OPEN.search(one) and not is_reached(one)), None)
        if host is not None and host.isprintable():
            is_led = host.lower() in names
            sentences[(_led_sentence if is_led else _host_sentence)(host, where, str(kind))] = None
        if demands_tls(text):
            insists = True
            sentences[tls_sentence(where)] = None
    return Obstacles(tuple(sentences)[:_MOST], insists_on_tls=insists)


def _host_sentence(host: str, where: str, server: str) -> str:
    return (
        f"{where} connects to {host[:100]}, which is not in the preview: only localhost and names such as db lead to "
        f"its own {server}; read the address from a variable"
    )


def _led_sentence(host: str, where: str, server: str) -> str:
    return f"{where} connects to {host[:100]}: if the preview cannot reach it, the name leads to its own {server}"


def tls_sentence(where: str) -> str:
    """Return the sentence about a fixed demand of TLS."""
    return (
        f"{where} requires TLS, which the preview's own servers offer with a self-signed certificate; if the "
        "client checks it, read the address and this option from a variable"
    )


def _hosts(sources: Sources, files: Iterable[str], kinds: frozenset[ServiceKind]) -> Iterator[tuple[str, str, bool]]:
    """Yield the hosts that Django's ``DATABASES`` names as constants and that are not in the preview.

    Each has its place, and whether its server is of a supplied kind.
    """
    for file in files:
        if b"DATABASES" not in sources.text(file):
            continue
        for node in sources.nodes(file):
            keys = [getattr(key, "value", None) for key in node.keys] if isinstance(node, ast.Dict) else []
            if isinstance(node, ast.Dict) and "ENGINE" in keys and "HOST" in keys:
                host = _other_host(node.values[keys.index("HOST")])
                engine = getattr(node.values[keys.index("ENGINE")], "value", None)
                kind = next((kind for word, kind in _ENGINES.items() if word in str(engine)), None)
                if host is not None:
                    yield host, f"{file}:{node.values[keys.index('HOST')].lineno}", kind in kinds


def _called_hosts(facts: Facts, kinds: frozenset[ServiceKind]) -> Iterator[tuple[str, str, bool]]:
    """Yield the same of ``psycopg2.connect(host="…")`` and the like."""
    for call in facts.calls:
        if call.name.partition(".")[0] in _DRIVERS:
            host = _other_host(keyword(call.node, "host"))
            if host is not None:
                yield host, call.where, kind_of_call(call.name) in kinds


def _other_host(node: ast.expr | None) -> str | None:
    host = node.value if isinstance(node, ast.Constant) else None
    return host if isinstance(host, str) and host and host.isprintable() and not is_reached(host) else None


def _options(sources: Sources, files: Iterable[str]) -> Iterator[str]:
    """Yield the places of ``sslmode="require"`` and ``ssl=True`` in calls and tables."""
    for file in files:
        text = sources.text(file)
        if b"ssl" not in text and b"heroku.settings" not in text:
            continue
        for node in sources.nodes(file):
            if isinstance(node, ast.Dict):
                pairs = [(key.value, value) for key, value in zip(node.keys, node.values, strict=True)
                         if isinstance(key, ast.Constant)]  # fmt: skip
                found = any(_is_demand(name, value) and name != "ssl" for name, value in pairs)
            elif isinstance(node, ast.Call) and replaces_database(node):
                found = True
            elif isinstance(node, ast.Call):
                # Only drivers have `sslmode`; `ssl` may be anything in another call.
                is_known = last_name(node) in _CALLS
                found = any(_is_demand(name, one) and (is_known or name != "ssl") for name, one in _arguments(node))
            else:
                continue
            if found:
                yield f"{file}:{node.lineno}"


def replaces_database(call: ast.Call) -> bool:
    """Return whether a platform's helper (``django_heroku.settings``) is called, which takes ``DATABASE_URL``."""
    is_left = any(one.arg == "databases" and not getattr(one.value, "value", 1) for one in call.keywords)
    return ast.unparse(call.func) in _PLATFORMS and not is_left


def _arguments(call: ast.Call) -> Iterator[tuple[object, ast.expr]]:
    """Yield the keywords of a call, and the keys of the table in ``connect_args``."""
    for item in call.keywords:
        yield item.arg, item.value
        if item.arg == "connect_args" and isinstance(item.value, ast.Dict):
            keys = [getattr(key, "value", None) for key in item.value.keys]
            yield from zip(keys, item.value.values, strict=True)


def _is_demand(name: object, value: ast.expr) -> bool:
    if isinstance(value, ast.IfExp):
        return _is_demand(name, value.body) or _is_demand(name, value.orelse)
    given = value.value if isinstance(value, ast.Constant) else None
    if name == "ssl_require" or name == "ssl":
        is_context = _CONTEXT.search(last_name(value)) is not None
        return is_context or given is True or (isinstance(given, str) and given.lower() in _MODES)
    return name in _OPTIONS and isinstance(given, str) and given.lower() in _MODES


_SCRIPT_URL: Final = re.compile(r"\b(?:postgres(?:ql)?|mysql|mariadb|rediss?)://[^\s'\"`]{1,2000}")
_ELSEWHERE: Final = re.compile(
    r"\b(?P<scheme>postgres(?:ql)?|mysql|mariadb|rediss?)://(?:[^\s'\"`/@]{0,300}@)"
    r"(?P<name>[a-zA-Z0-9-]{1,63}(?:\.[a-zA-Z0-9-]{1,63}){1,8})(?::(?P<port>\d{1,5}))?(?=[/?'\"`]|$)"
)
# `createConnection({ host: "sql.example.com"`
_OPTION: Final = re.compile(r"\bhost['\"]?\s{0,4}:\s{0,4}['\"`]([a-zA-Z0-9-]{1,63}(?:\.[a-zA-Z0-9-]{1,63}){1,8})['\"`]")
_SCRIPT_DRIVERS: Final = re.compile(
    r"['\"](?:pg|pg-promise|postgres|mysql2?(?:/promise)?|mariadb|sequelize|typeorm|@nestjs/typeorm|knex|ioredis|redis)['\"]"
)
# The options of a connection, in a file that only exports them; options of other servers have no database.
_SCRIPT_OPTIONS: Final = re.compile(r"\b(?:database|dialect)['\"]?\s{0,4}:\s{0,4}['\"`]")
_ADDRESS: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_OTHER_SERVERS: Final = re.compile(r"mail|smtp|mongo|api\.", re.IGNORECASE)
# `url.searchParams.set("sslmode", "require")`, `${url}?sslmode=require`; a whole address may only be a default.
_SCRIPT_TLS: Final = re.compile(
    r"\bssl\s*:\s*(?:true\b|\{)|\brejectUnauthorized\s*:"
    r"|\bsslmode['\"`]?\s{0,4}[:,]\s{0,4}['\"`](?:require|verify)|\}[?&]sslmode=(?:require|verify)"
)
_PRODUCTION: Final = re.compile(r"prod", re.IGNORECASE)
_NEAR: Final = 300
_MOST_NAMES: Final = 8
# To count the lines before each of very many would take long.
_MOST_URLS: Final = 50


def find_script_obstacles(
    texts: Sequence[tuple[str, str]], defaults: frozenset[str], kinds: frozenset[ServiceKind]
) -> Obstacles:
    """Do what ``find_obstacles`` does, for JavaScript.

    Args:
        texts: Files that the application loads, each with its text.
        defaults: Values of variables, which are replaced.
        kinds: Kinds of SQL servers and others that the preview gets.
    """
    fixed: list[tuple[str, str]] = []
    demands: list[str] = []
    may_demand = False
    for file, text in texts:
        urls = islice(_SCRIPT_URL.finditer(text), _MOST_URLS)
        found = [match for match in urls if match[0] not in defaults and "${" not in match[0]]
        fixed += [(match[0], f"{file}:{text.count(chr(10), 0, match.start()) + 1}") for match in found]
        demand = _SCRIPT_TLS.search(text)
        may_demand = may_demand or demand is not None
        if demand is not None and not _PRODUCTION.search(text, max(0, demand.start() - _NEAR), demand.start()):
            demands.append(f"{file}:{text.count(chr(10), 0, demand.start()) + 1}")
    names, ports = _elsewhere(texts, defaults, kinds)
    told = tell_addresses(fixed, kinds, names)
    sentences = (*told.sentences, *(tls_sentence(where) for where in demands[:_MOST]))
    # A server that offers TLS serves clients without it, too: the word "production" nearby may be a remark.
    return Obstacles(sentences, told.insists_on_tls or may_demand, names, ports)


def _is_host(name: str) -> bool:
    """Return False for a number that is no whole address, and for an address of the machine itself."""
    return not name[-1].isdigit() or (_ADDRESS.fullmatch(name) is not None and not name.startswith(("127.", "0.")))


def _elsewhere(
    texts: Sequence[tuple[str, str]], defaults: frozenset[str], kinds: frozenset[ServiceKind]
) -> tuple[tuple[str, ...], tuple[tuple[ServiceKind, str], ...]]:
    """Return the names of servers elsewhere in URLs and options, and the ports in the URLs."""
    names: dict[str, None] = {}
    ports: list[tuple[ServiceKind, str]] = []
    for _, text in texts:
        for match in islice(_ELSEWHERE.finditer(text), _MOST_URLS):
            kind = kind_of_scheme(match["scheme"] + "://")
            if kind in kinds and not any(one.startswith(match[0]) for one in defaults):
                names[match["name"].lower()] = None
                ports += [(kind, match["port"])] if match["port"] else []
        if _SCRIPT_DRIVERS.search(text) or (kinds & SQL_KINDS and _SCRIPT_OPTIONS.search(text)):
            names |= {match[1].lower(): None for match in islice(_OPTION.finditer(text), _MOST_URLS)}
    own = [one for one in names if not is_reached(one) and not _OTHER_SERVERS.search(one) and _is_host(one)]
    return tuple(own[:_MOST_NAMES]), tuple(ports[:_MOST_NAMES])
