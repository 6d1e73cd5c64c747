"""Mends of variables that are not set, or whose placeholder has the wrong form. Pure functions."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from preview.detection import Kind, Origin, Variable, placeholder_for
from preview.detection.databases.services import kind_of_scheme
from preview.detection.settings import files_of_tests, service_of
from preview.supervisor.diagnosis.diagnose import diagnose
from preview.supervisor.mending.model import FailedStart, Mend, newest_error, own_line
from preview.supervisor.mending.refusals import (
    OTHER_FAILURE,
    checked_variables,
    client_variables,
    dynaconf_variables,
    formed_keys,
    looked_up_variables,
    refused_variables,
)

_HEAD: Final = re.compile(r"\b\d{1,4} validation errors? for (?P<model>\w{1,80})")
_SETTINGS: Final = re.compile(r"settings|config|env", re.IGNORECASE)
# pydantic 2 writes `ORIGINS.0` of an item, pydantic 1 `ORIGINS -> 0`.
_FIELD: Final = re.compile(r"^(?P<name>[A-Za-z_]\w{0,80})(?:\.\S{0,80}| -> .{0,80})?$")
# pydantic 2 writes `[type=int_parsing, …]`, pydantic 1 `(type=type_error.integer)`.
_TYPE: Final = re.compile(r"[\[(]type=(?P<type>[\w.]{1,60})")
_QUOTED: Final = re.compile(r"'([^']{1,80})'")
_TOP_LEVEL: Final = "top level domain required"
_LEAST: Final = re.compile(r"at least (\d{1,4}) characters?")
_ABOVE: Final = re.compile(r"greater than (?:or equal to )?(\d{1,9})")
_KINDS: Final = (
    (re.compile(r"^int_|integer"), Kind.INTEGER),
    (re.compile(r"^float_|^decimal|float|decimal"), Kind.NUMBER),
    (re.compile(r"^bool_|bool"), Kind.BOOLEAN),
    (re.compile(r"^(?:list|set|tuple|frozen_set)_type|\.(?:list|set|tuple)$|^json_|json"), Kind.LIST),
    (re.compile(r"^dict_type|\.dict$"), Kind.OBJECT),
    (re.compile(r"^url_|url"), Kind.URL),
    (re.compile(r"email"), Kind.EMAIL),
)
_SOURCE: Final = re.compile(r"error parsing value for field \"(?P<name>\w{1,80})\" from source")
_OPTIONS: Final = re.compile(r"^(?:enum|literal_error|value_error\.const|type_error\.enum)")
# `int(os.getenv("X"))`, `os.environ["X"]`, `config("X")`, `env.int("X")`, `process.env.X`
_READ: Final = re.compile(
    r"""(?:getenv|environ(?:\.get)?|\benv(?:\.\w{1,10})?|\bconfig)\s{0,2}[\[(]\s{0,2}["'](?P<name>[A-Za-z_]\w{0,80})["']"""
    r"""|process\.env(?:\.|\[["'])(?P<other>[A-Za-z_]\w{0,80})"""
)
_URL_INPUT: Final = re.compile(r"^\s{0,8}input: '([^']{1,300})'")
_OF_NODE: Final = re.compile(r"\bprocess\.env\.(?P<name>[A-Z][A-Z0-9_]{1,80})")
_OPENED: Final = re.compile(r"\s{0,40}(?P<name>[A-Z][A-Z0-9_]{1,80})\s{0,4}=\s{0,4}[\w.]{1,60}\($")
_CONSTANT: Final = re.compile(r"\b[A-Z][A-Z0-9]{0,20}_?[A-Z0-9_]{2,60}\b")
# `A, B and C`
_CAPITALS: Final = re.compile(r"[A-Z][A-Z0-9_]{2,80}")
_LIST: Final = re.compile(
    r"\b[A-Z][A-Z0-9_]{2,80}\b['\"]?(?:(?:, and|,| and) ['\"]?[A-Z][A-Z0-9_]{2,80}\b['\"]?){1,39}"
)
_LACKS: Final = re.compile(
    r"\b(?P<name>[A-Z][A-Z0-9]{0,40}_[A-Z0-9_]{1,80})\b.{0,40}"
    r"(?i:missing|required|empty|not (?:set|defined|found|provided)|must (?:be set|contain|have|include|list|name))"
)
_LOGGED: Final = re.compile(r"\b(?:error|fatal|critical)\b", re.IGNORECASE)
_NO_VALUE: Final = re.compile(
    r"^(?:TypeError|AttributeError|ValueError|AssertionError)\b.{0,200}(?:NoneType|None\b|invalid literal for int|"
    r"could not convert string to float|undefined)"
)
# Programs take these for more than a setting.
_RESERVED: Final = re.compile(
    r"^(?:LD_|PYTHON|NODE_(?!ENV$)|NPM_|GIT_|PIP_|UV_|PREVIEW_|SSL_CERT_|BASH_|DOTENV_|PATH$|HOME$|TMPDIR$|PORT$|VIRTUAL_ENV$|IFS$"
    r"|PS\d$|ENV$|NO_PROXY$|(?:\w+_)?PROXY$)",
    re.IGNORECASE,
)
_DOCKERFILE: Final = "Dockerfile"
_DATABASE_URL: Final = "DATABASE_URL"
_MOST: Final = 40
_MOST_LOOKED_UP: Final = 2
# The launchers' last line (``preview_serving``, ``reads.cjs``). The program may print it, too.
_READS: Final = re.compile(r"^read without a value: (?P<names>[A-Za-z_]\w{0,80}(?:, [A-Za-z_]\w{0,80}){0,39})$")
# What programs say of a value that is not there, in their error or in the line above their end.
_WANTS_VALUE: Final = re.compile(
    r"None\b|NoneType|\bnull\b|undefined|\bNaN\b|missing|require|not (?:set|defined|found|provided|specified)"
    r"|must (?:be|have|set|provide|contain|include|list|name)|expected|invalid|empty|environment|\benv\b|variable"
    r"|config|argument|KeyError"
    # In Spanish, Portuguese, French, Italian, German, Russian, Chinese and Korean.
    r"|\b(?:no|não|nao) (?:est[áa] )?(?:definid|configurad|encontrad)|obligatori|obrigat[óo]ri|\bfalta\b"
    r"|manquant|mancant"
    r"|d[ée]finie?\b|\bfehlt\b|не (?:задан|указан|найден|определ)|未(?:设置|配置|定义)|不能为空|缺少|필요|없습니다",
    re.IGNORECASE,
)
_SAID_LINES: Final = 8
# Clients of clouds, tracers and drivers read these for themselves, in calls of the program's own code.
_OF_PACKAGES: Final = re.compile(
    r"^AWS_(?!\w{0,40}(?:KEY|SECRET|REGION(?!AL)|BUCKET|NAME))|^(?:DOTENV|GRPC|OTEL|DD|UNDICI|WS_NO|GCE|GCLOUD|SENTRY)_(?!DSN)"
)
# Unset on purpose: where a program runs, and what it shows.
_COMMON: Final = frozenset(
    {
        "CI",
        "DEBUG",
        "ENVIRONMENT",
        "HEROKU",
        "HOSTNAME",
        "HTTPS",
        "LANG",
        "LOGNAME",
        "NO_COLOR",
        "FORCE_COLOR",
        "GITHUB_ACTIONS",
        "GITLAB_CI",
        "NODE_ENV",
        "PWD",
        "SHELL",
        "SSL",
        "TERM",
    }
    | {"TESTING", "TEST", "TZ", "USER", "VERCEL", "RENDER", "DYNO", "NETLIFY", "PRODUCTION", "FLASK_ENV", "FLASK_DEBUG"}
)


_NO_REDIS_SCHEME: Final = "Redis URL must specify one of the following schemes"


def mend_variables(failed: FailedStart) -> Mend | None:
    """Return placeholders for the variables that the last lines name; None if they name none."""
    finders = (
        formed_keys, _of_pydantic, _unparsed, _refused, looked_up_variables, _missing, _named_in_error, _without_scheme,
        client_variables, dynaconf_variables, _read_in_line, _exemplified, checked_variables, _read_at_all,
        _made_up_instead, _as_tested,
    )  # fmt: skip
    changed: dict[str, Variable] = next(filter(None, (_changed(failed, dict(find(failed))) for find in finders)), {})
    if not changed:
        return None
    names = list(changed)[:_MOST]
    are = "variable {} has" if len(names) == 1 else "variables {} have"
    files = {changed[name].where for name in names if changed[name].origin is Origin.EXAMPLE}
    used = [f"what {'the Dockerfile sets' if file == _DOCKERFILE else f'{file} has'}" for file in sorted(files)]
    made = ["placeholders"] if any(changed[name].origin is not Origin.EXAMPLE for name in names) else []
    why = f"the {are.format(', '.join(names))} no usable value: using {' and '.join((*used, *made))}"
    return Mend(why, {name: changed[name] for name in names})


def _changed(failed: FailedStart, found: dict[str, Variable]) -> dict[str, Variable]:
    """Return those of the found variables that may be set and would change, and what the program would miss next."""
    before = failed.plan.variables
    found |= dict(_read_with(failed, [name for name in found if name not in before]))
    return {
        name: replace(one, instead_of=before[name].value if name in before else None)
        for name, one in ((name, _of_database(failed, _of_files(failed, one))) for name, one in found.items())
        if _may_set(failed, name, one)
    }


def _read_with(failed: FailedStart, names: Sequence[str]) -> Iterator[tuple[str, Variable]]:
    """Yield the variables that a program would miss next: it reads them with the same function, one after the other."""
    known = {*failed.plan.variables, *failed.plan.defaulted, *names}
    for name in names[:_MOST_LOOKED_UP]:
        for other in failed.read_together(name):
            if other not in known and other not in _COMMON:
                known.add(other)
                yield other, placeholder_for(other)


def _of_database(failed: FailedStart, variable: Variable) -> Variable:
    """Return a made-up URL of a database as that of the preview's own one, with the driver that the project has."""
    own = failed.plan.variables.get(_DATABASE_URL)
    kind = kind_of_scheme(variable.value)
    if own is None or variable.origin is not Origin.MADE_UP or kind is None or kind is not kind_of_scheme(own.value):
        return variable
    return replace(variable, value=own.value)


def _of_files(failed: FailedStart, variable: Variable) -> Variable:
    """Return the variable with its value in the Dockerfile or an example, unless a failed attempt had that.

    A secret that can be made up is not taken from an example, which everybody can read, unless the made-up one fails.
    """
    before = failed.plan.variables.get(variable.name)
    given = failed.container_values.get(variable.name)
    if variable.origin is Origin.SUPPLIED:
        return variable
    is_made = "{secret" in variable.value and (before is None or before.value != variable.value)
    example = None if is_made else failed.example_values.get(variable.name)
    found = example if given is None else (given, _DOCKERFILE)
    if found is None or (before is not None and before.value == found[0]):
        return variable
    return replace(variable, value=found[0], origin=Origin.EXAMPLE, where=found[1])


def _may_set(failed: FailedStart, name: str, variable: Variable) -> bool:
    before = failed.plan.variables.get(name)
    # Shells read `ENV`, too, but the plan has it only as the name of an environment.
    may_name = not _RESERVED.match(name) or (name.upper() == "ENV" and before is not None)
    return may_name and failed.is_free(name) and (before is None or before.value != variable.value)


def _of_pydantic(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the fields that pydantic's settings refuse: each is a line of its own above what is wrong."""
    heads = [number for number, line in enumerate(failed.lines) if _HEAD.search(line)]
    if not heads:
        return
    head = _HEAD.search(failed.lines[heads[-1]])
    is_settings = head is not None and _SETTINGS.search(head["model"]) is not None
    below = failed.lines[heads[-1] + 1 :]
    for line, said in itertools.pairwise(below):
        field, type_ = _FIELD.match(line), _TYPE.search(said)
        if field is None or type_ is None:
            continue
        name = _named(failed, field["name"])
        if is_settings or name in failed.plan.variables:
            yield name, _fitting(name, type_["type"], said)


def _named(failed: FailedStart, field: str) -> str:
    """Return the variable of a field: as the plan spells it, with the prefix that it has there."""
    upper = field.upper()
    known = [name for name in failed.plan.variables if name.upper() == upper]
    known += [name for name in failed.plan.variables if name.upper().endswith(f"_{upper}")]
    return known[0] if known else upper


def _fitting(name: str, type_: str, said: str) -> Variable:
    if _OPTIONS.match(type_) or "enum" in type_:
        options = tuple(_QUOTED.findall(said.partition("[type=")[0]))
        return placeholder_for(name, choices=options)
    if least := _LEAST.search(said):
        return placeholder_for(name, least=int(least[1]))
    if above := _ABOVE.search(said):
        return placeholder_for(name, Kind.INTEGER, least=int(above[1]) + 1)
    if _TOP_LEVEL in said:
        # `HttpUrl` of pydantic 1 refuses `localhost`.
        return Variable(name, "http://preview.example", Origin.MADE_UP)
    kind = next((kind for pattern, kind in _KINDS if pattern.search(type_)), Kind.TEXT)
    if kind is Kind.URL and (schemes := _QUOTED.findall(said)):
        database = next((one for one in ("Postgres", "MySQL", "Redis", "Mongo") if one.lower() in schemes[0]), "")
        return placeholder_for(name, kind, annotation=f"{database}Dsn" if database else "")
    return placeholder_for(name, kind)


def _unparsed(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the field whose text pydantic-settings cannot read as JSON: a list, or else an object."""
    number = newest_error(failed.lines)
    match = None if number is None else _SOURCE.search(failed.lines[number])
    if match is not None:
        name = _named(failed, match["name"])
        before = failed.plan.variables.get(name)
        kind = Kind.OBJECT if before is not None and before.value.startswith("[") else Kind.LIST
        yield name, placeholder_for(name, kind)


def _refused(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield what the project's own schema of variables misses or refuses."""
    return refused_variables(failed.lines)


def _missing(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    found = diagnose(failed.lines)
    names = found.details.get("variables") if found is not None and found.reason == "missing_variable" else None
    # The dictionary may be made of the environment and a file.
    key = str(found.details["key"]) if found is not None and found.reason == "missing_key" else ""
    if key in failed.example_values:
        yield key, placeholder_for(key)
    listed = [_listed(failed, str(name)) for name in names] if isinstance(names, Sequence) else []
    yield from ((name, placeholder_for(name)) for name in dict.fromkeys(itertools.chain(*listed)))
    number = newest_error(failed.lines)
    # `Error: process.env.SITE_KEY is not set`, in whichever language.
    for match in _OF_NODE.finditer(failed.lines[number]) if number is not None and not names else ():
        yield match["name"], placeholder_for(match["name"])


def _named_in_error(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the variable that the error calls missing, if an example or the sources know it.

    ``Error: JWT_ACCESS_SECRET is required``; a check of settings copies all variables first, so nothing tells that it
    has read this one. A program that logs such a line and exits has no error.
    """
    number = newest_error(failed.lines)
    last = [line for line in failed.lines if _LOGGED.search(line)][-1:]
    said = [failed.lines[number]] if number is not None else last
    known = {*failed.example_values, *(failed.plan.defaulted if number is None else ())}
    for match in filter(None, map(_LACKS.search, reversed(said))):
        if match["name"] in known:
            yield match["name"], placeholder_for(match["name"])
            return


def _listed(failed: FailedStart, name: str) -> tuple[str, ...]:
    """Return all names of the list in which a line names this one: ``Missing variables: A, B and C``."""
    lists = (match for line in failed.lines for match in _LIST.finditer(line))
    found = next((_CAPITALS.findall(match[0]) for match in reversed(list(lists)) if name in match[0]), [])
    return tuple(found) if name in found else (name,)


def _without_scheme(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the placeholders from which Node was to read a URL: ``input: 'localhost/loki/api'`` lacks its scheme.

    A project may put a URL of Redis together from a "host" that has the scheme: ``f"{REDIS_HOST}:{REDIS_PORT}"``.
    """
    if any(_NO_REDIS_SCHEME in line for line in failed.lines):
        for one in failed.plan.variables.values():
            if one.value == "localhost" and "REDIS" in one.name.upper():
                yield one.name, replace(one, value="redis://localhost")
    if not any("Invalid URL" in line for line in failed.lines):
        return
    inputs = [match[1] for line in failed.lines if (match := _URL_INPUT.match(line))]
    for variable in failed.plan.variables.values():
        is_made = variable.origin is Origin.MADE_UP and not variable.secret and "://" not in variable.value
        if is_made and variable.value and any(one.startswith(variable.value) for one in inputs):
            host = variable.value if variable.value.startswith("localhost") else "localhost"
            yield variable.name, Variable(variable.name, f"http://{host}", Origin.MADE_UP, variable.where)


def _read_in_line(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the variables in the line of the project that failed for want of a value: ``int(os.getenv("X"))``."""
    number = newest_error(failed.lines)
    if number is None or not _NO_VALUE.match(failed.lines[number]):
        return
    line = own_line(failed, number)
    names = dict.fromkeys(match["name"] or match["other"] for match in _READ.finditer(line))
    kind = Kind.INTEGER if re.search(r"\bint\(", line) else Kind.NUMBER if re.search(r"\bfloat\(", line) else Kind.TEXT
    kind = Kind.LIST if "json.loads(" in line else kind
    # Most other words in capitals are no variables (`SELECT`).
    for name in names or [name for name in dict.fromkeys(_CONSTANT.findall(line)) if name in failed.plan.variables]:
        yield name, placeholder_for(name, kind)


def _exemplified(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the variables read in the line that failed, whatever its error, if an example has their value.

    ``config("HOSTS", default=[], cast=Csv())`` fails by its default alone.
    """
    number = newest_error(failed.lines)
    if number is None or OTHER_FAILURE.search(failed.lines[number]):
        return
    line = own_line(failed, number)
    names = [match["name"] or match["other"] for match in _READ.finditer(line)]
    # Python shows the first line of a call.
    names += [match["name"]] if (match := _OPENED.match(line)) is not None else []
    for name in dict.fromkeys(names):
        before = failed.plan.variables.get(name)
        if name in failed.example_values and (before is None or before.origin is not Origin.SUPPLIED):
            yield name, placeholder_for(name)


def _read_at_all(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield all variables that the program read and found without a value, if it may have failed for want of one."""
    found = [match for line in failed.lines if (match := _READS.match(line))]
    said = [line for line in failed.lines if not _READS.match(line)]
    if not found:
        return
    number = newest_error(said)
    near = said[-_SAID_LINES:] if number is None else said[number : number + _SAID_LINES]
    if (number is not None and OTHER_FAILURE.search(said[number])) or not any(map(_WANTS_VALUE.search, near)):
        return
    names = found[-1]["names"].split(", ")
    # Packages read their own ones by tables, in calls of the program's code.
    own = failed.mentioned(names)
    for name in names:
        known = name in failed.plan.variables or name in failed.plan.defaulted
        if name in own and not known and name not in _COMMON and not _OF_PACKAGES.match(name):
            yield name, placeholder_for(name)


def _made_up_instead(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the placeholders for which the project's files have a value, if its own code ended the program.

    Not those of secrets: everybody can read the files' ones.
    """
    number = newest_error(failed.lines)
    if number is None or OTHER_FAILURE.search(failed.lines[number]) or not own_line(failed, number):
        return
    for name, one in failed.plan.variables.items():
        is_placeholder = one.origin is Origin.MADE_UP and not one.secret
        if is_placeholder and service_of(name) is None and name in failed.example_values:
            yield name, one


def _as_tested(failed: FailedStart) -> Iterator[tuple[str, Variable]]:
    """Yield the variables that have a default, and for which the project's tests or workflows have another value.

    Tests start the application without the services of its default: ``LLM_BACKEND: noop``.
    """
    number = newest_error(failed.lines)
    if number is None or OTHER_FAILURE.search(failed.lines[number]):
        return
    names = [name for name, (_, file) in failed.example_values.items() if files_of_tests([file])]
    for name in failed.mentioned([name for name in names if name in failed.plan.defaulted]):
        one = placeholder_for(name)
        if name not in failed.plan.variables and service_of(name) is None and "{secret" not in one.value:
            yield name, one
