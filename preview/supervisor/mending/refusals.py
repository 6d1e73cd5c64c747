"""Variables that a project's own schema or check misses or refuses. Pure functions.

Schemas are those of env-schema, class-validator and zod. A check raises an error that names the variable.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from preview.detection import GIVEN, Kind, Origin, Variable, placeholder_for
from preview.detection.settings import is_environment, is_secret_name, service_of
from preview.detection.settings.key_forms import KeyForm
from preview.supervisor.mending.model import FailedStart, Mend, newest_error, own_line

# `env must have required property 'A', env/PORT must be integer`
_SCHEMA: Final = re.compile(
    r"\benv(?: must have required property '(?P<missing>\w{1,80})'|/(?P<refused>\w{1,80}) must (?P<said>[^,\n]{1,100}))"
)
# ` - property FARM_PLOTS has failed the following constraints: isInt, min`
_CLASS_FIELD: Final = re.compile(
    r"\bproperty (?P<name>[A-Z][A-Z0-9_]{1,80}) has failed the following constraints: (?P<said>[\w, ]{1,200})"
)
# `  FARM_KEY: { errors: [ 'Too small: expected string to have >=32 characters' ] },` or `FARM_KEY: [ 'Required' ]`
_ZOD: Final = re.compile(
    r"^\s{0,12}['\"]?(?P<name>[A-Z][A-Z0-9_]{1,80})['\"]?: (?:\{ (?:_errors|errors): )?\[ ?(?P<said>['\"`].{1,300})"
)
_OPENED_LIST: Final = re.compile(r"^\s{0,12}['\"][A-Z][A-Z0-9_]{1,80}['\"]: \[$")
# `Environment variable "FARM_ROUNDS" must be a valid number`
_MUST: Final = re.compile(
    r"\b[Vv]ariable:? ['\"`]?(?P<name>[A-Z][A-Z0-9_]{1,80})['\"`]? (?:must|should) (?P<said>be an? [^,\n]{1,100})"
)
# purify-ts: `Problem with property "FARM_KEY": it does not exist in received object {…`
_ABSENT: Final = re.compile(
    r"\bproperty \"(?P<name>[A-Z][A-Z0-9_]{1,80})\": it does not exist in received object\b(?P<said>)"
)
# `TOTP_KEY must be a base64-encoded 32-byte key`
_NAMED_KEY: Final = re.compile(
    r"\b(?P<name>[A-Z][A-Z0-9_]{1,80})\b(?P<said>.{1,20}(?:must|should|expect|invalid|not).{1,120})"
)
_FORMS: Final = (
    (re.compile(r"base64", re.IGNORECASE), KeyForm.BASE64),
    (
        re.compile(r"\b64[ -](?:hex|char)|\b32[ -]bytes?\b.{0,30}\bhex|\bhex.{0,30}\b(?:64|32[ -]byte)", re.IGNORECASE),
        "{secret}",
    ),
    (re.compile(r"\b32[ -](?:byte|char)", re.IGNORECASE), KeyForm.BYTES_32),
)
# Zod names the variable some lines below its error.
_FORM_LINES: Final = 12
_KINDS: Final = (
    (
        re.compile(
            r"be integer|be number|be an? .{0,30}(?:number|integer)|be >|isInt|isNumber|isPort|expected number",
            re.IGNORECASE,
        ),
        Kind.INTEGER,
    ),
    (re.compile(r"be boolean|be an? .{0,30}boolean|isBoolean|expected boolean", re.IGNORECASE), Kind.BOOLEAN),
    (re.compile(r"format \"email\"|be an? .{0,30}email|isEmail|invalid email", re.IGNORECASE), Kind.EMAIL),
    (re.compile(r"format \"ur|be an? .{0,30}\bur[il]\b|isUrl|invalid ur", re.IGNORECASE), Kind.URL),
)
_LEAST: Final = re.compile(
    r"fewer than (\d{1,4}) char|at least (\d{1,4}) char|to have >=?(\d{1,4}) char|be >=? ?(\d{1,9})|minLength"
)
_START: Final = re.compile(r"\b(?:start|begin)s? with ['\"`]?(?P<text>[\w:/.+-]{1,20})")
# `expected one of "dev"|"prod"`, `Expected 'dev' | 'prod', received 'development'`
_OPTIONS: Final = re.compile(r"[Ee]xpected (?:one of )?((?:['\"]\w{1,60}['\"](?: ?\| ?)?){1,40})")
_WORD: Final = re.compile(r"['\"](\w{1,60})['\"]")
_LONG: Final = 32
# The service sets it in every preview, and no placeholder replaces it.
_OF_THE_SERVICE: Final = "NODE_ENV"
OTHER_FAILURE: Final = re.compile(
    r"^(?:Uncaught )?[\w.]{0,100}(?:ModuleNotFound|Import|Syntax|Indentation|Tab|Name|Reference|File\w{1,12}|Permission"
    r"|Connection\w{0,12}|Operational|Programming|Interface|Timeout|Memory|Recursion)(?:Error|Exception)\b"
    r"|Cannot find (?:module|package)|\b(?:ECONNREFUSED|EADDRINUSE|ENOENT|EACCES|ERR_MODULE\w{1,20}|ERR_REQUIRE\w{1,9})"
    r"|getaddrinfo|(?:module|type object) '[\w.]{1,100}' has no attribute"
)
"""Failures of code, packages, files and servers, which no variable mends."""
# `configs[name]`; a dictionary is looked up with a name that is not written out.
_NO_KEY: Final = re.compile(r"^KeyError: (?:['\"](?P<key>[\w.-]{1,80})['\"]|None)$")
_LOOKUP: Final = re.compile(r"\b([A-Za-z_]\w{0,80})\[\s{0,4}(?![\"'\d])")
_NO_MODULE: Final = re.compile(
    r"ModuleNotFoundError: No module named '(?P<folder>[A-Za-z_][\w.]{0,120})\.(?P<name>\w{1,80})'"
)
# A module that a statement names is no value.
_IMPORT: Final = re.compile(r"\s{0,200}(?:from|import)\s")
_NO_CHOICE: Final = frozenset({"__init__", "base", "common", "default", "defaults", "settings", "config", "components"})
_KEY_NAME: Final = re.compile(r"\[\s{0,4}([A-Za-z_]\w{0,80})\s{0,4}\]")
_MODE: Final = re.compile(r"ENV|MODE|STAGE|CONFIG|SETTINGS|PROFILE|TIER|KIND")
_READ_EMPTY: Final = re.compile(r"^read without a value: ([A-Za-z_]\w{0,80}(?:, [A-Za-z_]\w{0,80}){0,39})$")
_MOST_TABLES: Final = 3
_SAID_LINES: Final = 4
_NO_VALUE: Final = re.compile(r"\bmust (?:not )?be\b|\brequire|\bnot (?:set|defined|provided|configured)|empty|missing")
_WORDS: Final = re.compile(r"\w{1,80}")
_PARTS: Final = re.compile(r"[A-Z0-9]{1,80}")
_PRODUCTION: Final = re.compile(r"\bprod(?:uction)?\b", re.IGNORECASE)
# Clients of outside services read these for themselves, and their error does not name them.
_OF_CLIENTS: Final = (
    (re.compile(r"\bNoRegionError: You must specify a region"), ("AWS_DEFAULT_REGION",)),
    (
        re.compile(r"\bTwilioException: Credentials are required to create"),
        ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"),
    ),
    (re.compile(r"^ValueError: Missing key inputs argument! To use the Google AI API"), ("GOOGLE_API_KEY",)),
)
# The project's version comes from Git, which a preview does not have; setuptools-scm reads it from here instead.
_NO_VERSION: Final = re.compile(r"\bsetuptools-scm was unable to detect version\b")
# Google's client of maps wants the form of its own keys.
_MAPS_ERROR: Final = "ValueError: Invalid API key provided."
_MAPS_KEY: Final = re.compile(r"(?:GOOGLE|MAPS).{0,40}KEY", re.IGNORECASE)
_VERSION: Final = "SETUPTOOLS_SCM_PRETEND_VERSION"
# `settings.secret_key`, which its author has in `.secrets.toml`; Dynaconf reads `DYNACONF_SECRET_KEY` as well.
_NO_SETTING: Final = re.compile(
    r"^AttributeError: '(?:Settings|Dynaconf|LazySettings)' object has no attribute '(?P<name>\w{1,80})'"
)
_DYNACONF: Final = re.compile(r"/site-packages/dynaconf/")
_GOOGLE: Final = re.compile(r"\bDefaultCredentialsError: ")
_OF_GOOGLE: Final = re.compile(r"/google/cloud/(firestore|storage|pubsub|datastore)(?:_\w{1,20})?/")
_EMULATORS: Final = {
    "firestore": ("FIRESTORE_EMULATOR_HOST", "localhost:8080"),
    "storage": ("STORAGE_EMULATOR_HOST", "http://localhost:9023"),
    "pubsub": ("PUBSUB_EMULATOR_HOST", "localhost:8085"),
    "datastore": ("DATASTORE_EMULATOR_HOST", "localhost:8081"),
}


def refused_variables(lines: Sequence[str]) -> Iterator[tuple[str, Variable]]:
    """Yield what schemas miss or refuse, each with a value of the form that they tell.

    Args:
        lines: The program's last lines. The program controls them.
    """
    # Spread over lines: `"FARM_KEY": [`, and below it `"Key is required"`.
    spread = [f"{line} {below.strip()}" for line, below in itertools.pairwise(lines) if _OPENED_LIST.match(line)]
    for line in (*lines, *spread):
        for pattern in (_SCHEMA, _CLASS_FIELD, _ZOD, _MUST, _ABSENT):
            for match in pattern.finditer(line):
                groups = match.groupdict()
                name = groups.get("name") or groups.get("missing") or groups.get("refused") or ""
                yield name, _fitting(name, match["said"] or "")


def formed_keys(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the made-up secret that an error names with its form: ``X must be a base64-encoded 32-byte key``."""
    number = newest_error(failed.lines)
    for line in failed.lines[number : number + _FORM_LINES] if number is not None else ():
        match = _NAMED_KEY.search(line)
        made_up = failed.plan.variables.get(match["name"]) if match is not None else None
        if match is None or made_up is None or made_up.origin is not Origin.MADE_UP:
            continue
        form = next((form for pattern, form in _FORMS if pattern.search(match["said"])), None)
        if form is not None and is_secret_name(made_up.name):
            yield made_up.name, replace(made_up, value=form)


def checked_variables(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield variables that the newest error names, and whose empty default or weak value the program refuses.

    1. A secret, which gets a value of its own.
    2. A variable with a default that is empty, or for which an example has a value.
    3. The variable that says "production", if the error is about production.
    """
    number = newest_error(failed.lines)
    if number is None or OTHER_FAILURE.search(failed.lines[number]):
        return
    said = " ".join(failed.lines[number : number + _SAID_LINES])
    known = failed.plan.variables
    names = sorted({*known, *failed.plan.defaulted})
    words = set(_WORDS.findall(said))
    # The two last parts of a name are enough: `SECRET_KEY` of `SHOP_SECRET_KEY`.
    pairs = set(itertools.pairwise(_PARTS.findall(said.upper())))
    has_none = _NO_VALUE.search(said) is not None
    for name in names:
        is_open = name not in known and (has_none or name in failed.example_values)
        if (is_secret_name(name) or is_open) and (name in words or tuple(name.upper().split("_")[-2:]) in pairs):
            yield name, placeholder_for(name)
    for name in names if _PRODUCTION.search(said) else ():
        if is_environment(name) and (name not in known or _PRODUCTION.match(known[name].value)):
            yield name, replace(placeholder_for(name), value="development", origin=Origin.SUPPLIED)


def looked_up_variables(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the variable whose value is no key of a dictionary of the project, and no module of a folder of it.

    ``configs[name]`` or ``import_module(f"config.{name}")``, wherever the name was read.
    """
    value, choices, line = next(_unknown_values(failed), (None, (), ""))
    if not choices:
        return
    known = [name for name, one in failed.plan.variables.items() if value and one.value.lower() == value.lower()]
    read = [match[1] for line in failed.lines if (match := _READ_EMPTY.match(line))] if value is None else []
    # Without the value, only the line tells that the name is that of an environment: `configs[mode]`, not `rows[name]`.
    defaulted = sorted(failed.plan.defaulted) if _MODE.search(line.upper()) else []
    # `configs[env_state]`: settings may read `ENV_STATE` together with all other variables.
    same = [one.upper() for one in _KEY_NAME.findall(line)] if value is None else []
    names = known or [*dict.fromkeys(", ".join(read).split(", ")), *defaulted, *failed.mentioned(same)]
    likely = [name for name in names if is_environment(name) or _MODE.search(name.upper())]
    name = (names if known and len(names) == 1 else likely or [""])[0]
    if name and value not in choices:
        yield name, placeholder_for(name, choices=choices)


def _unknown_values(failed: FailedStart) -> Iterator[tuple[str | None, tuple[str, ...], str]]:
    """Yield value, possible values and source line of each failed lookup, the newest first; None is no value at all."""
    for number in range(len(failed.lines) - 1, -1, -1):
        line = own_line(failed, number)
        if (module := _NO_MODULE.match(failed.lines[number])) is not None and not _IMPORT.match(line):
            folder = module["folder"].replace(".", "/")
            inside = (f"/{one}".rpartition("/") for one in failed.files)
            names = {name.removesuffix(".py") for above, _, name in inside if above.endswith(f"/{folder}")}
            yield module["name"], tuple(sorted(names - _NO_CHOICE)), line
        elif (key := _NO_KEY.match(failed.lines[number])) is not None:
            tables = _LOOKUP.findall(line)
            keys = next(filter(None, map(failed.keys_of, tables[:_MOST_TABLES])), ())
            yield key["key"], tuple(keys), line


def dynaconf_variables(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the variable of a setting that Dynaconf found in none of its files."""
    number = newest_error(failed.lines)
    match = None if number is None else _NO_SETTING.match(failed.lines[number])
    if match is not None and any(map(_DYNACONF.search, failed.lines[:number])):
        name = f"DYNACONF_{match['name'].upper()}"
        yield name, placeholder_for(name)


def client_variables(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the variables from which the client of an outside service that could not be made takes its values."""
    number = newest_error(failed.lines)
    said = "" if number is None else failed.lines[number]
    for pattern, names in _OF_CLIENTS:
        if pattern.search(said):
            yield from ((name, placeholder_for(name)) for name in names)
    if _NO_VERSION.search(said):
        yield _VERSION, Variable(_VERSION, "0.0.0", Origin.MADE_UP)
    if said == _MAPS_ERROR and any("/googlemaps/" in line for line in failed.lines[:number]):
        for name in filter(_MAPS_KEY.search, failed.plan.variables):
            yield name, Variable(name, f"AIza{'0' * 35}", Origin.SUPPLIED, secret=True)
    # With the address of an emulator, a client of Google's needs no credentials.
    services = [match[1] for line in failed.lines if (match := _OF_GOOGLE.search(line))] if _GOOGLE.search(said) else []
    for service in services[-1:]:
        name, value = _EMULATORS[service]
        yield name, Variable(name, value, Origin.MADE_UP)
        if "GOOGLE_CLOUD_PROJECT" not in failed.plan.variables:
            yield "GOOGLE_CLOUD_PROJECT", Variable("GOOGLE_CLOUD_PROJECT", "preview", Origin.MADE_UP)


def _fitting(name: str, said: str) -> Variable:
    options = _OPTIONS.search(said)
    choices = tuple(_WORD.findall(options[1])) if options is not None else ()
    least = _LEAST.search(said)
    number = next((int(one) for one in least.groups() if one), _LONG) if least is not None else 0
    kind = next((kind for pattern, kind in _KINDS if pattern.search(said)), Kind.TEXT)
    found = placeholder_for(name, Kind.TEXT if choices else kind, choices=choices, least=number)
    if kind is Kind.TEXT and not choices and (start := _START.search(said)) is not None:
        # Keys of services have 32 digits after their mark (`AC…`, `sk_…`).
        found = replace(found, value=f"{start['text'].rstrip('.,')}{'0' * _LONG}")
    return replace(found, origin=Origin.SUPPLIED) if name == _OF_THE_SERVICE and choices else found


# TypeORM before 0.3 reads its options from `ormconfig.json`, which version control often leaves out, or variables.
_NO_ORMCONFIG: Final = re.compile(
    r"No connection options were found in any (?:of )?orm configuration file"
    r"|Cannot find connection default because its not defined in any orm configuration file"
)
_TYPEORM_TYPES: Final = {"postgresql": "postgres", "postgres": "postgres", "mysql": "mysql", "mariadb": "mariadb"}
_CODE: Final = re.compile(r"\.(?:ts|js)$")
_ENTITIES: Final = re.compile(r"(?:^|/)(?:entit(?:y|ies)|models?)/[\w.@-]{1,100}$|\.entity\.[jt]s$")
_MIGRATIONS: Final = re.compile(r"(?:^|/)migrations?/\d{10,17}[\w.-]{1,100}$")
_MOST_NAMED: Final = 300


def mend_ormconfig(failed: FailedStart) -> Mend | None:
    """Return TypeORM's variables for a project without its ``ormconfig.json``; None for others."""
    number = newest_error(failed.lines)
    url = failed.plan.variables.get("DATABASE_URL")
    # A database of the user's is never synchronized: that drops columns.
    if number is None or url is None or url.origin in GIVEN:
        return None
    scheme = url.value.partition(":")[0]
    if scheme not in _TYPEORM_TYPES or not _NO_ORMCONFIG.search(failed.lines[number]):
        return None
    code = [name for name in failed.files if _CODE.search(name) and not name.endswith(".d.ts")]
    entities = [name for name in code if _ENTITIES.search(name)][:_MOST_NAMED]
    migrations = [name for name in code if _MIGRATIONS.search(name)][:_MOST_NAMED]
    values = {
        "TYPEORM_CONNECTION": _TYPEORM_TYPES[scheme],
        "TYPEORM_URL": url.value,
        "TYPEORM_ENTITIES": ",".join(entities),
        "TYPEORM_MIGRATIONS": ",".join(migrations),
        "TYPEORM_MIGRATIONS_RUN" if migrations else "TYPEORM_SYNCHRONIZE": "true",
    }
    variables = {name: Variable(name, value, Origin.SUPPLIED) for name, value in values.items() if failed.is_free(name)}
    return Mend(f"TypeORM finds no ormconfig.json: {', '.join(variables)} lead to the preview's database", variables)


# `Remove these variables: DB_HOST, DB_NAME`; a program that knows an older way as well.
_UNWANTED: Final = re.compile(r"\b(?:[Rr]emove|[Uu]nset|[Dd]elete)\b|\b(?:must|may|should|can)\s?not be set\b")
# Such an error names what it wants, too.
_WANTED: Final = re.compile(
    r"\b[Oo]nly (?P<only>[A-Z]\w{1,80})|\b(?P<set>[A-Z]\w{1,80}) (?:is|must be) (?:set|given)\b"
)


def mend_unwanted(failed: FailedStart) -> Mend | None:
    """Return no value for the variables that the service has set and the newest error refuses; None without any."""
    number = newest_error(failed.lines)
    if number is None or not _UNWANTED.search(failed.lines[number]):
        return None
    said = set(_WORDS.findall(failed.lines[number]))
    found = {
        name: replace(one, value="", instead_of=one.value)
        for name, one in failed.plan.variables.items()
        if name in said and name.isupper() and one.origin in {Origin.SUPPLIED, Origin.MADE_UP} and one.value
    }
    kept = {match["only"] or match["set"] for match in _WANTED.finditer(failed.lines[number])}
    names = [name for name in found if name not in kept and failed.is_free(name)]
    if not names:
        return None
    return Mend(f"the program refuses {', '.join(names)}: without a value now", {name: found[name] for name in names})


# `localhost:6379` of a URL, which an error names by its port.
_PORT: Final = re.compile(r":\d{2,5}(?=/|$)")
_PORTS: Final = re.compile(r":\d{2,5}\b")
_LEAST_TOLD: Final = 8
_MOST_TOLD: Final = 5
# Without a key of its own, a program signs nothing.
_SIGNS: Final = re.compile(r"SECRET|SIGNING|ENCRYPTION|SALT|JWT", re.IGNORECASE)


def mend_dispensable(failed: FailedStart) -> Mend | None:
    """Withdraw the values that the error names, and that the sources can do without; None without any.

    A value for a variable that may be absent turns a part of the program on.
    """
    number = newest_error(failed.lines)
    said = "" if number is None else "\n".join(failed.lines[number:])
    return _without([one.name for one in _dispensable(failed) if _is_told(one, said)]) if said else None


def mend_all_dispensable(failed: FailedStart) -> Mend | None:
    """Withdraw all made-up values that the sources can do without; None without any, or for another kind of error."""
    number = newest_error(failed.lines)
    if number is None or OTHER_FAILURE.search(failed.lines[number]):
        return None
    # Those of failed attempts have no place in the sources.
    spare = [one.name for one in _dispensable(failed) if one.where and service_of(one.name) is None]
    return _without([name for name in spare if not _SIGNS.search(name)])


def _dispensable(failed: FailedStart) -> list[Variable]:
    known = [one for one in failed.plan.variables.values() if one.name in failed.plan.dispensable and one.value]
    return [one for one in known if one.origin not in GIVEN and failed.is_free(one.name)]


def _without(names: Sequence[str]) -> Mend | None:
    if not names:
        return None
    told = ", ".join(names[:_MOST_TOLD]) + (" …" if len(names) > _MOST_TOLD else "")
    return Mend(f"the sources can do without {told}: no value now", withdrawn=tuple(name.upper() for name in names))


def _is_told(variable: Variable, said: str) -> bool:
    """Return whether an error names the variable, its value or its value's port."""
    port = _PORT.search(variable.value)
    is_value = len(variable.value) >= _LEAST_TOLD and not variable.secret and variable.value in said
    is_port = port is not None and port[0] in _PORTS.findall(said)
    # pydantic names a field in small letters; those of `HOST` and `NAME` are words of any error.
    is_field = "_" in variable.name and variable.name.lower() in _WORDS.findall(said.lower())
    return is_value or is_port or is_field or variable.name in _WORDS.findall(said)


# pydantic's settings refuse a name of the file that is none of theirs, unless they say `extra="ignore"`.
_EXTRA: Final = re.compile(r"\[type=extra_forbidden\b")
_EXTRA_NAME: Final = re.compile(r"[A-Za-z_]\w{0,100}")


def mend_extra_values(failed: FailedStart) -> Mend | None:
    """Return the names of ``.env`` that pydantic's settings refuse, as they know others; None without any."""
    if not {".env", posixpath.normpath(f"{failed.plan.directory}/.env")} & failed.names:
        return None
    refused = [
        name for name, said in itertools.pairwise(failed.lines) if _EXTRA.search(said) and _EXTRA_NAME.fullmatch(name)
    ]
    names = tuple(dict.fromkeys(name.lower() for name in refused))
    if not names:
        return None
    told = ", ".join(name.upper() for name in names[:_MOST_TOLD]) + (" …" if len(names) > _MOST_TOLD else "")
    return Mend(f"the settings refuse {told} of .env: left out of the preview's copy", left_out=names)
