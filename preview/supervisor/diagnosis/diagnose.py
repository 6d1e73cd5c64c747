"""Diagnosis of a failed program from its last lines. Pure functions.

Each rule is a pattern and a sentence; the newest line that matches a rule decides. Patterns and input are bounded: a
program that prints megabytes before its end costs no more than one that prints ten lines.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from preview.detection import ServiceNeed
from preview.supervisor.diagnosis.diagnose_imports import bad_name
from preview.supervisor.diagnosis.diagnose_services import diagnose_services
from preview.supervisor.diagnosis.diagnose_syntax import SYNTAX, bad_syntax
from preview.supervisor.diagnosis.diagnosis import Diagnosis

_MAX_LINES, _MAX_CHARACTERS = 200, 1000
COLOURS = re.compile(r"\x1b\[[0-9;]{0,30}[A-Za-z]")

Tell = Callable[[re.Match[str]], Diagnosis | None]
Rule = tuple[re.Pattern[str], Tell]


def diagnose(lines: Sequence[str], needs: Sequence[ServiceNeed] = ()) -> Diagnosis | None:
    """Diagnose the last lines of a program; None if no rule matches.

    Args:
        lines: The program's output, oldest first; may have colours and overlong lines.
        needs: Backing services found in the project's source.
    """
    read = [COLOURS.sub("", line[:_MAX_CHARACTERS]) for line in lines[-_MAX_LINES:]]
    # Order: missing settings and other certain causes (``_CERTAIN``) first, then missing services, then other rules. A
    # program without its service often retries until it fails with a later error that only follows from that.
    return _missing_settings(read) or _unanswered(read, needs) or _newest(read, _RULES) or _newest(read, _VAGUE_RULES)


_ERROR = re.compile(r"^(?:Uncaught )?(?:[A-Za-z_][\w.]{0,100}(?:Error|Exception|Exit|Warning)|Error)\b.{0,300}")


def last_error(lines: Sequence[str]) -> str | None:
    """Return the newest line of an exception, for an end that no rule explains."""
    for line in reversed(lines[-_MAX_LINES:]):
        if match := _ERROR.match(COLOURS.sub("", line[:_MAX_CHARACTERS])):
            return match[0].strip()
    return None


# Exceptions that a missing service never raises: the program or its input is wrong.
_OWN_MISTAKES = re.compile(
    r"^(?:[\w.]{1,100}\.)?(?:Attribute|Name|Type|Key|Index|Import|ModuleNotFound|FileNotFound|Syntax|Indentation|"
    r"Assertion|Validation|Value|Reference)Error\b"
)


def is_own_mistake(error: str | None) -> bool:
    """Return True if an exception's line is about the program itself, not about a missing service."""
    return error is not None and _OWN_MISTAKES.match(error) is not None


def _unanswered(lines: Sequence[str], needs: Sequence[ServiceNeed]) -> Diagnosis | None:
    newest = _newest(lines, _RULES)
    if newest is not None and newest.reason in _CERTAIN:
        return None
    return diagnose_services(lines, needs)


# Causes that end a program before it connects to a service.
_CERTAIN = frozenset(
    {"missing_module", "missing_name", "circular_import", "python_version", "syntax_error", "missing_variable",
     "out_of_memory", "missing_engine", "wrong_dialect", "missing_key"}
)  # fmt: skip


def _newest(lines: Sequence[str], rules: Sequence[Rule]) -> Diagnosis | None:
    for number in range(len(lines) - 1, -1, -1):
        if (found := bad_name(lines, number)) is not None:
            return found
        for pattern, tell in rules:
            match = pattern.search(lines[number])
            if match is not None and (found := tell(match)) is not None:
                return found
        if SYNTAX.match(lines[number]) and (found := bad_syntax(lines, number)) is not None:
            return found
    return None


# Settings


_PYDANTIC_HEAD = re.compile(
    r"\d{1,4} validation errors? for (?P<model>\w{0,40}(?:[Ss]ettings|[Cc]onfig|[Ee]nv)\w{0,40})"
)
_PYDANTIC_MISSING = re.compile(
    r"^\s{1,8}(?:(?:F|f)ield required|Input should be .{1,80}input_value=None, input_type=NoneType)"
)
_FIELD = re.compile(r"^[A-Za-z_]\w{0,80}$")


def _missing_settings(lines: Sequence[str]) -> Diagnosis | None:
    """Find missing fields of pydantic settings: a head line, then each field's name above ``Field required``."""
    heads = [number for number, line in enumerate(lines) if _PYDANTIC_HEAD.search(line)]
    if not heads:
        return None
    names = [
        name.upper()
        for name, said in zip(lines[heads[-1] + 1 :], lines[heads[-1] + 2 :], strict=False)
        if _FIELD.match(name) and _PYDANTIC_MISSING.match(said)
    ]
    return _missing_variables(*dict.fromkeys(names)) if names else None


def _missing_variables(*names: str) -> Diagnosis:
    some, it = ("variable {} is", "it") if len(names) == 1 else ("variables {} are", "them")
    return Diagnosis(
        "missing_variable",
        f"The environment {some.format(', '.join(names))} not set. Set {it} under [env] in preview.toml or in the "
        "launch request.",
        {"variables": list(names)},
    )


def _variable(match: re.Match[str]) -> Diagnosis:
    """Return all names that the rule finds in the line."""
    return _missing_variables(*dict.fromkeys(found["name"] for found in match.re.finditer(match.string)))


# Modules and files


def _said(reason: str, sentence: str, **facts: str) -> Tell:
    """Return a rule's action: format the sentence with the pattern's groups; ``facts`` maps details to groups."""
    return lambda match: Diagnosis(
        reason, sentence.format(**match.groupdict()), {fact: match[group] for fact, group in facts.items()}
    )


_python_module = _said(
    "missing_module",
    "There is no Python module {name!r}. Add the package that provides it to the project's requirements, or "
    "correct the import.",
    module="name",
)
_newer_python = _said(
    "python_version",
    "The {module!r} of this Python has no {name!r}: the project needs another Python version. Set "
    "PREVIEW_ENVIRONMENT_PYTHON to that version.",
    module="module",
)
_other_version = _said(
    "missing_module",
    "{name!r} is not in the Python module {module!r}: the project was written for another version of it. Pin the "
    "version in the requirements, or correct the import.",
    module="module",
)
_NO_PACKAGE = "There is no Node package {name!r}. Add it to the dependencies in package.json."
_node_package = _said("missing_module", _NO_PACKAGE, module="name")
_node_file = _said(
    "missing_file",
    "The module {name} does not exist. If a build generates it, add that build as a step in preview.toml; "
    "otherwise correct the import.",
    file="name",
)
_file = _said(
    "missing_file",
    "The file {name} does not exist. Add it to the project, or correct the path: it is relative to the folder that "
    "the application is started in.",
    file="name",
)
_data = _said(
    "missing_file",
    "The file {name} does not exist: version control may leave it out. Add it to the project, or read its values from "
    "environment variables.",
    file="name",
)
_table = _said(
    "missing_table",
    "The database has no table {name!r}: the command that creates the tables has not run. Add it as a step in "
    "preview.toml.",
    table="name",
)

_DIALECT_ADVICE = "the project is written for another database. Set its database variable to a server of that kind."
# Words that no SQL of SQLite's has at the place of an error, and what others may stand for.
_FOREIGN = frozenset(
    {"ILIKE", "SIMILAR", "EXTENSION", "ARRAY", "INTERVAL", "TRUNCATE", "LATERAL", "SERIAL", "SEQUENCE",
     "AUTO_INCREMENT"}
)  # fmt: skip
_HINTS = {
    "ON": " (DISTINCT ON and ON CONFLICT ON CONSTRAINT are PostgreSQL's own)",
    "UPDATE": " (FOR UPDATE is not SQLite's)",
}


def _dialect(match: re.Match[str]) -> Diagnosis:
    """Diagnose SQL that SQLite does not know; a word of no other database may be a slip in the project's own SQL."""
    word = "::" if match["name"] == ":" else match["name"]
    if "syntax error" in match[0] and word.upper() not in _FOREIGN | {"::"}:
        sentence = (
            f"SQLite does not understand the SQL at {word!r}{_HINTS.get(word.upper(), '')}. Correct it; if it is "
            "written for another database, set its database variable to a server of that kind."
        )
    else:
        sentence = f"SQLite does not know {word!r}: {_DIALECT_ADVICE}"
    return Diagnosis("wrong_database", sentence, {"word": word})


_list_value = _said("wrong_database", f"SQLite has no arrays, but a {{name}} is passed as a value: {_DIALECT_ADVICE}")
_no_engine = _said(
    "missing_engine",
    "Prisma has no engine here, so database queries fail. Let the service's machine reach binaries.prisma.sh (or "
    "set PRISMA_ENGINES_MIRROR), clear the cache and launch again.",
)
_es_module = _said(
    "syntax_error",
    'A file uses require or module.exports, and package.json says "type": "module". Remove that line, or write import '
    "and export.",
)
_express_5 = _said(
    "other_version",
    "A route's path is written for Express 4, and Express 5 is installed. Write the path for Express 5 (`/*rest` for "
    '`*`, `{{/:id}}` for `/:id?`), or require "express": "^4" in package.json.',
)
_no_sass = _said(
    "other_version",
    "node-sass works with no Node as new as this one. Replace it by its successor: put "
    '"overrides": {{"node-sass": "npm:sass@1"}} into package.json, or require sass itself.',
)
_no_client = _said(
    "missing_module", "Prisma's client was not generated. Add `npx prisma generate` as a step in preview.toml."
)
_no_key = _said(
    "missing_variable",
    "A client of an outside service has no API key. Set the variable that the project reads it from under [env] in "
    "preview.toml or in the launch request.",
)

_no_dialect = _said(
    "wrong_dialect",
    "SQLAlchemy has no dialect {name!r}: the project builds its database address from separate variables. Set them "
    "to a server of the kind that it needs.",
    dialect="name",
)

# Modules of Python 2 that Python 3 has under other names.
_PYTHON_2 = frozenset(
    {"BaseHTTPServer", "ConfigParser", "Cookie", "HTMLParser", "Queue", "SimpleHTTPServer", "SocketServer", "StringIO",
     "Tkinter", "UserDict", "__builtin__", "cPickle", "cStringIO", "commands", "cookielib", "httplib", "md5", "sets",
     "thread", "urllib2", "urlparse", "xmlrpclib"}
)  # fmt: skip
_python_2 = _said(
    "python_version",
    "{name!r} is a module of Python 2, which the project is written for. Previews run Python 3: port it first.",
    module="name",
)


def _module(match: re.Match[str]) -> Diagnosis | None:
    return _python_2(match) if match["name"] in _PYTHON_2 else _python_module(match)


_STANDARD = {"typing", "datetime", "enum", "asyncio", "collections", "contextlib", "itertools", "warnings"}


def _python_name(match: re.Match[str]) -> Diagnosis | None:
    return _newer_python(match) if match["module"] in _STANDARD else _other_version(match)


def _node_module(match: re.Match[str]) -> Diagnosis | None:
    if match["name"].endswith(".json"):
        return _data(match)
    # No package has an alias' name: `~/lib`, `@/lib`, `#lib`.
    return (_node_file if match["name"].startswith((".", "/", "~", "@/", "#")) else _node_package)(match)


# Ports


def _port(match: re.Match[str]) -> Diagnosis:
    port = match.groupdict().get("port")
    named = f"port {port}" if port else "a port"
    return Diagnosis(
        "port_in_use",
        f"It tries to listen on {named}, which is in use. Make it listen on the port in the environment variable PORT.",
        {"port": int(port) if port else None},
    )


_low_port = _said(
    "port_refused",
    "It tries to listen on port {port}, which only root can use. Make it listen on the port in the environment "
    "variable PORT, or on port 1024 or above.",
    port="port",
)

# sqlite3.OperationalError, better-sqlite3's SqliteError, node-sqlite3's SQLITE_ERROR
_SQLITE = r"(?i:sqlite)(?:3|Error|_ERROR)?\b.{0,80}"
_UPPER = r"\b(?P<name>[A-Z][A-Z0-9_]{2,80})\b"
# In free text a single word in capitals is often just emphasis, so an underscore is required.
_NAME = r"\b(?P<name>[A-Z][A-Z0-9]{0,40}_[A-Z0-9_]{1,80})\b"
_LACKS = r"(?i:missing|required|undefined|not (?:set|defined|found|provided)|must be)"
_ENV = r"(?i:env(?:ironment)?[ -]?var(?:iable)?s?\b|\.env\b|process\.env)"


def _rule(pattern: str, tell: Tell) -> Rule:
    return re.compile(pattern), tell


_RULES: tuple[Rule, ...] = (
    # Variables: os.environ, decouple, django-environ, environs, Starlette, Prisma, Joi, env-schema, and free text
    _rule(rf"^KeyError: ['\"]{_UPPER}['\"]$", _variable),
    _rule(r"UndefinedValueError: (?P<name>\w{1,80}) not found", _variable),
    _rule(r"ImproperlyConfigured: Set the (?P<name>\w{1,80}) environment variable", _variable),
    _rule(r'Environment variable "(?P<name>\w{1,80})" not set', _variable),
    _rule(r"Config '(?P<name>\w{1,80})' is missing, and has no default", _variable),
    _rule(r"Environment variable not found: (?P<name>\w{1,80})", _variable),
    _rule(rf'"{_UPPER}" is (?:required|not allowed to be empty)', _variable),
    _rule(r"\benv must have required property '(?P<name>\w{1,80})'", _variable),
    _rule(rf"\bproperty {_UPPER} has failed the following constraints: ", _variable),
    _rule(rf"{_NAME}(?:.{{0,40}}{_LACKS}.{{0,60}}{_ENV}|['\"`]? {_ENV}.{{0,40}}{_LACKS})", _variable),
    _rule(rf"{_LACKS}.{{0,40}}{_NAME}.{{0,40}}{_ENV}", _variable),
    _rule(rf"{_ENV}.{{0,40}}?{_NAME}.{{0,40}}{_LACKS}", _variable),
    _rule(rf"(?:{_LACKS}.{{0,30}}|Did not find .{{0,80}}){_ENV}.{{0,10}}?{_NAME}", _variable),
    # Clients of outside services
    _rule(
        rf"(?:[Mm]issing credentials|(?:api_key|apiKey)\b.{{0,20}}must be set|API[ _-]?[Kk]ey).{{0,160}}?"
        rf"{_NAME}.{{0,60}}{_ENV}",
        _variable,
    ),
    _rule(
        r"No API key provided|You did not provide an API key|Could not resolve authentication method|"
        r"Authentication method not found.{0,60}API key",
        _no_key,
    ),
    # Modules
    _rule(r"(?:ModuleNotFoundError: |^)No module named '(?P<name>[\w.]{1,200})'", _module),
    _rule(r"Can't load plugin: sqlalchemy\.dialects:(?P<name>[\w.]{1,60})", _no_dialect),
    _rule(r"ImportError: cannot import name '(?P<name>\w{1,100})' from '(?P<module>[\w.]{1,200})'", _python_name),
    _rule(r"(?:require|module|exports|__dirname) is not defined in ES module scope", _es_module),
    _rule(r"TypeError: .{1,100}: https://git\.new/pathToRegexpError", _express_5),
    _rule(r"Node Sass does not yet support your current environment", _no_sass),
    _rule(r"@prisma/client did not initialize yet|Cannot find module '\.prisma/client", _no_client),
    _rule(
        r"Prisma Client could not locate the Query Engine|[Qq]uery [Ee]ngine (?:library|binary) for current platform|"
        r"The Prisma engines do not seem to be compatible|(?:Prisma's|its) engine could not be downloaded|"
        r"Failed to fetch (?:the engine file|sha256 checksum) at|request to \S{1,200}-engine\S{0,40} failed",
        _no_engine,
    ),
    _rule(r"Cannot find (?:module|package) '(?P<name>[^']{1,300})'", _node_module),
    _rule(
        r"Cannot use import statement outside a module",
        _said("syntax_error", 'A file says `import` and is read as CommonJS. Set "type": "module" in package.json.'),
    ),
    # SQL of a server, asked of SQLite
    _rule(rf"{_SQLITE}no such function: (?P<name>\w{{1,80}})", _dialect),
    _rule(rf"{_SQLITE}near \"(?P<name>[^\"]{{1,40}})\": syntax error", _dialect),
    _rule(rf"{_SQLITE}unrecognized token: \"(?P<name>[^\"]{{1,10}})\"", _dialect),
    _rule(rf"{_SQLITE}no such column: (?P<name>ARRAY|INTERVAL)\b", _dialect),
    _rule(rf"{_SQLITE}type '(?P<name>list|dict|UUID)' is not supported", _list_value),
    _rule(r"SQLiteTypeCompiler.{0,80}can't render element of type (?P<name>\w{1,40})", _dialect),
    # Ports, tables, files, memory
    _rule(r"\[Errno 13\].{0,80}bind on address \('[^']{0,60}', (?P<port>\d{1,4})\)", _low_port),
    _rule(r"listen EACCES.{0,60}?:(?P<port>\d{1,4})\b", _low_port),
    _rule(r"EADDRINUSE.{0,60}?:(?P<port>\d{1,5})\b", _port),
    _rule(r"\[Errno 98\].{0,80}?, (?P<port>\d{1,5})\)", _port),
    _rule(r"\[Errno 98\]|[Aa]ddress already in use", _port),
    _rule(r"no such table: (?P<name>[\w.]{1,100})", _table),
    _rule(r'relation "(?P<name>[\w.]{1,100})" does not exist', _table),
    _rule(r"Table '(?P<name>[\w.]{1,100})' doesn't exist", _table),
    _rule(r"The table `(?P<name>[\w.]{1,100})` does not exist in the current database", _table),
    _rule(r"FileNotFoundError: \[Errno 2\] [^:]{1,80}: '(?P<name>[^']{1,300})'", _file),
    _rule(r"FileNotFoundError: .{0,40}?'(?P<name>[^']{1,300})' not found", _file),
    _rule(r"unable to open file: name = '(?P<name>[^']{1,300})', errno = 2,", _file),
    _rule(r"ENOENT: no such file or directory, \w{1,20} '(?P<name>[^']{1,300})'", _file),
    _rule(
        r"JavaScript heap out of memory|^MemoryError\b",
        _said("out_of_memory", "It ran out of memory. Reduce its memory use, or raise PREVIEW_MEMORY_LIMIT_MB."),
    ),
)

# Texts with many possible causes: used only if no other rule matches.
_VAGUE_RULES: tuple[Rule, ...] = (
    _rule(
        r"Could not find the (?P<name>GDAL|GEOS) library",
        _said("missing_library", "GeoDjango needs the library {name}. Install it beside the service (apt: gdal-bin)."),
    ),
    # errno(3): ENOSYS, as Python, Node and strerror(3) print it. A sandbox returns it for calls that it does not allow.
    _rule(
        r"\[Errno 38\]|\bENOSYS\b|Function not implemented|function not implemented",
        _said(
            "system_call_refused",
            "It needs a system call that the sandbox does not allow. Do without it, or have the operator name it in "
            "PREVIEW_SYSCALLS_ALLOWED.",
        ),
    ),
    _rule(
        r"ImproperlyConfigured: (?P<said>.{1,300})",
        _said("wrong_setting", "Django's settings are not complete: {said}"),
    ),
)
