"""Choose a Node project's variables from its own files, its examples, or generated values."""

from __future__ import annotations

import io
import posixpath
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from dotenv.parser import parse_stream

from preview.detection.databases.services import SQL_KINDS, kind_of_scheme
from preview.detection.node.address_uses import AddressUse, value_for_use
from preview.detection.node.project import NodeProject
from preview.detection.node.services import ADDRESSES, service_of_name
from preview.detection.plan import Origin, ServiceKind, Variable
from preview.detection.settings.collect import ProjectSettings
from preview.detection.settings.example_files import ExampleValue, example_values, is_placeholder, own_values
from preview.detection.settings.model import MAY_BE_ABSENT, Kind, Need, SettingRead
from preview.detection.settings.values import is_secret_name, make_up

# Variables of every preview, and of every process.
_GIVEN: Final = frozenset(
    {"PORT", "NODE_ENV", "LOG_LEVEL", "PATH", "HOME", "USER", "PWD", "NODE_OPTIONS", "TZ", "CI", "DEBUG", "VERCEL",
     "npm_package_version", "npm_package_name", "HEROKU", "AWS_LAMBDA_FUNCTION_NAME", "NETLIFY", "VITEST",
     "JEST_WORKER_ID"}
)  # fmt: skip
_URL_OF_DATABASE: Final = "DATABASE_URL"
# Many libraries cannot be constructed without these, often while the program loads.
_ACCESS: Final = re.compile(r"(?:KEY|TOKEN|SECRET|SID|CLIENT_ID|CLIENTID|_ID|DSN)$|PASS|CREDENTIAL", re.IGNORECASE)
_SECRET: Final = re.compile(r"SECRET|JWT_?KEY|SIGNING_?KEY")
# The first account, which many programs make before they listen.
_ACCOUNT: Final = re.compile(r"(?:ADMIN|ROOT|SUPER_?USER|SEED)\w*_(?:EMAIL|MAIL|USER|USERNAME|LOGIN|NAME)$")
_POINTS: Final = re.compile(r"(?:UR[IL]|HOST|ENDPOINT|CONNECTION_STRING|DATABASE|^DB)$", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"UR[IL]|STRING|CONNECT|^(?:DB|DATABASE)$|LOCAL$|ATLAS", re.IGNORECASE)
_LIFE: Final = re.compile(r"EXPIR|LIFETIME|_TTL|MAX_?AGE|DURATION", re.IGNORECASE)
_UNIT: Final = re.compile(r"MINUTE|SECOND|HOUR|DAYS|_MS$|_MIN$|_SEC$", re.IGNORECASE)
# `DB_DIALECT`, `DB_DRIVER`, `DATABASE_TYPE`: a word that the driver's library knows.
_DIALECT: Final = re.compile(
    r"DIALECT$|(?:DB|DATABASE|SQL|KNEX|TYPEORM)_?(?:DRIVER|CLIENT|TYPE|ENGINE)$", re.IGNORECASE
)
_ROUNDS: Final = re.compile(r"ROUNDS|SALT_?ROUND|SALT(?:_?FACTOR|_?LENGTH|_?WORK\w*)?$", re.IGNORECASE)
# `REDIS_URL=url`: the value only says what it has to be.
_KIND_WORD: Final = re.compile(r"url|uri|string|host|port|email|number", re.IGNORECASE)
_FILE: Final = re.compile(r"\bpath:\s*(?:path\.\w+\([^)]*?)?['\"`]([\w./-]*\.?env[\w./-]*)['\"`]|--env-file=(\S+)")
_MAX_LENGTH: Final = 4_000
_LOG_LEVEL: Final = "LOG_LEVEL"
_MODE: Final = "NODE_ENV"
_OWN_MODES: Final = ("dev", "develop", "local")
_COMPARED_MODE: Final = re.compile(r"""NODE_ENV['"\]]{0,2}\s{0,4}[=!]==?\s{0,4}['"]development['"]""")
# Libraries whose levels are in small letters.
_LOGGERS: Final = ("pino", "fastify", "winston", "hono-pino", "nestjs-pino", "pino-http", "bunyan", "loglevel", "tslog")
# `{ DEBUG: 0, INFO: 1, ERROR: 3 }`, `"ERROR"`
_OWN_LEVELS: Final = re.compile(r"\bERROR\s{0,4}[:=]|[\"'`]ERROR[\"'`]")


def node_settings(project: NodeProject, reads: Sequence[SettingRead]) -> ProjectSettings:
    """Return the variables that a project reads, one for each name, with the values in its own files."""
    folders = [*dict.fromkeys((project.folder, project.root, *_folders(project)))]
    merged = {read.name: read for read in _merged(reads)}
    return ProjectSettings(merged, own_values(project.sources, folders[:1]), _examples(project, folders))


def choose_variables(
    project: NodeProject,
    settings: ProjectSettings,
    kinds: Sequence[ServiceKind],
    scripted: Mapping[str, str],
    uses: Mapping[str, AddressUse],
) -> dict[str, Variable]:
    """Return the project's variables by name, without those that the service always sets.

    Args:
        project: The project.
        settings: The variables that it reads.
        kinds: Kinds of servers that its packages are for.
        scripted: Values that its script sets.
        uses: Variables that the sources pass to a database driver.
    """
    own, examples = settings.own, settings.examples
    found = {name: Variable(name, value, Origin.EXAMPLE, "package.json") for name, value in scripted.items()}
    for read in settings.reads.values():
        if read.name in _GIVEN or read.name in found or _has_value(own, read.name):
            continue
        variable = _from_example(read, examples.get(read.name), kinds)
        variable = variable or _for_driver(read, uses.get(read.name), kinds) or _made_up(read, kinds)
        if variable is not None:
            found[read.name] = variable
    if project.requires("dotenv-safe"):
        # dotenv-safe refuses to start unless every name of the example file has a value.
        for name, example in examples.items():
            if name not in _GIVEN and name not in found and not _has_value(own, name):
                read = SettingRead(name, example.file, 1, Need.REQUIRED)
                found[name] = _from_example(read, example, kinds) or _invent(read, kinds)
    supplied = (_log_level(project, settings.reads.get(_LOG_LEVEL)), _mode(project, settings.reads.get(_MODE)))
    return found | {one.name: one for one in supplied if one is not None}


def _mode(project: NodeProject, read: SettingRead | None) -> Variable | None:
    """Return the mode that the project's schema or its default has in place of ``development``: ``dev``."""
    if read is not None and not read.choices and read.default in _OWN_MODES:
        is_compared = any(_COMPARED_MODE.search(project.text(file)) for file in project.reached)
        return None if is_compared else Variable(_MODE, read.default, Origin.SUPPLIED, read.where)
    if read is None or not read.choices or "development" in read.choices:
        return None
    value = next((name for name in ("dev", "develop", "local", "test") if name in read.choices), read.choices[0])
    return Variable(_MODE, value, Origin.SUPPLIED, read.where)


def _log_level(project: NodeProject, read: SettingRead | None) -> Variable | None:
    """Return the service's level as Node's libraries write it: pino ends a program whose level is ``ERROR``.

    None if the project does not read it, or writes its levels in capitals itself.
    """
    if read is None or "ERROR" in read.choices:
        return None
    if read.choices:
        by_lower = {choice.lower(): choice for choice in read.choices}
        value = next((by_lower[name] for name in ("error", "warn", "warning") if name in by_lower), read.choices[0])
        return Variable(read.name, value, Origin.SUPPLIED, read.where)
    if not project.requires(*_LOGGERS):
        texts = [text for file in project.by_reach if _LOG_LEVEL in (text := project.text(file))]
        if any(_OWN_LEVELS.search(text) for text in texts):
            return None
    return Variable(read.name, "error", Origin.SUPPLIED, read.where)


def address_of_another_kind(
    settings: ProjectSettings,
    variables: Mapping[str, Variable],
    uses: Mapping[str, AddressUse],
    kinds: Sequence[ServiceKind],
) -> Variable | None:
    """Return ``DATABASE_URL`` if the project means no SQL database by it: every preview else gets SQLite's.

    Args:
        settings: The variables that the project reads.
        variables: The values that they have so far.
        uses: Variables that the sources pass to a database driver.
        kinds: Kinds of servers that the project's packages are for.
    """
    read = settings.reads.get(_URL_OF_DATABASE)
    if read is None:
        return None
    own, chosen = settings.own.get(read.name), variables.get(read.name)
    is_supplied = chosen is None or chosen.origin is Origin.SUPPLIED
    texts = [own.value if own else "", read.default or "", "" if chosen is None or is_supplied else chosen.value]
    text = next((text for text in texts if kind_of_scheme(text) is not None), "")
    use = uses.get(read.name)
    kind = kind_of_scheme(text) or (use.kind if use is not None else None)
    if kind is None and ServiceKind.MONGODB in kinds and SQL_KINDS.isdisjoint(kinds):
        kind = ServiceKind.MONGODB
    if kind is None or kind in SQL_KINDS or kind not in ADDRESSES:
        return None
    return Variable(read.name, text or ADDRESSES[kind], Origin.SUPPLIED, read.where)


def _has_value(own: Mapping[str, ExampleValue], name: str) -> bool:
    return name in own and own[name].value.strip() != ""


def _folders(project: NodeProject) -> list[str]:
    inner = ("config", "src/config", "src", "env", "config/env", ".envs")
    return [posixpath.normpath(posixpath.join(project.folder, name)) for name in inner]


def _examples(project: NodeProject, folders: Sequence[str]) -> dict[str, ExampleValue]:
    found = example_values(project.sources, folders)
    for name in _named_files(project):
        text = project.sources.text(name).decode("utf-8-sig", "replace")
        values = {item.key: item.value for item in parse_stream(io.StringIO(text))}
        for key, value in values.items():
            if key is not None and value is not None and (key not in found or not found[key].value):
                found[key] = ExampleValue(value, name)
    return found


def _named_files(project: NodeProject) -> list[str]:
    """Return files with variables, by name: ``config.env``, and those that the sources load."""
    prefix = "" if project.folder == "." else f"{project.folder}/"
    wanted = {match[1] or match[2] for name in project.scripts for match in _FILE.finditer(project.text(name))}
    bases = {posixpath.basename(name) for name in wanted}
    return [
        name
        for name in project.sources.all_names
        if name.startswith(prefix)
        and name.count("/") - prefix.count("/") <= 2
        and ((base := posixpath.basename(name)).endswith(".env") or any(base.startswith(item) for item in bases))
        and base != ".env"
    ][:6]


def _merged(reads: Sequence[SettingRead]) -> list[SettingRead]:
    """Merge the reads of each name: the strictest need, with the best known kind."""
    order = {Need.REQUIRED: 0, Need.OPTIONAL: 1, Need.DEFAULTED: 2}
    by_name: dict[str, list[SettingRead]] = {}
    for read in reads:
        by_name.setdefault(read.name, []).append(read)
    chosen = []
    for group in by_name.values():
        best = min(group, key=lambda read: order[read.need])
        # A default in a schema or at one place is often the only one that counts. Not so of a secret: a library that
        # gets it elsewhere without a default refuses to start.
        is_open = best.need is Need.OPTIONAL and not _SECRET.search(best.name)
        if is_open and any(read.need is Need.DEFAULTED for read in group):
            best = next(read for read in group if read.need is Need.DEFAULTED)
        telling = next((read for read in group if read.kind is not Kind.TEXT or read.choices or read.least), best)
        annotation = next((read.annotation for read in group if read.annotation), "")
        merged = replace(best, kind=telling.kind, choices=telling.choices, least=telling.least, annotation=annotation)
        chosen.append(merged)
    return chosen


def _from_example(read: SettingRead, example: ExampleValue | None, kinds: Sequence[ServiceKind]) -> Variable | None:
    if example is None or is_placeholder(example.value) or len(example.value) > _MAX_LENGTH:
        return None
    value = example.value.strip()
    # `mongodb+srv://<user>:<password>@…`
    if re.search(r"<[\w\s-]+>|\[[\w-]+\]|\$\{|your[-_]?", value, re.IGNORECASE):
        return None
    if _KIND_WORD.fullmatch(value) and read.name.lower().endswith(value.lower()):
        return None
    # A word for people (`DB호스트`): no host, key or address has one.
    if not value.isascii() and (_ACCESS.search(read.name) or _POINTS.search(read.name)):
        return None
    if (read.choices and value not in read.choices) or (read.kind is Kind.TEXT and len(value) < read.least):
        return None
    secret = is_secret_name(read.name) and service_of_name(read.name, kinds) is None
    return Variable(read.name, value, Origin.EXAMPLE, example.file, secret)


def _for_driver(read: SettingRead, use: AddressUse | None, kinds: Sequence[ServiceKind]) -> Variable | None:
    """Return the variable whose value a driver gets, in the form that the driver wants."""
    if use is None or use.has_default:
        return None
    value = value_for_use(use, kinds, ADDRESSES)
    return (
        Variable(read.name, value, Origin.MADE_UP, read.where, is_secret_name(read.name)) if value is not None else None
    )


def _made_up(read: SettingRead, kinds: Sequence[ServiceKind]) -> Variable | None:
    # With a key of its own dotenv reads an encrypted file in place of `.env`.
    if read.need is Need.DEFAULTED or read.name.startswith("DOTENV_"):
        return None
    # The project's schema knows it better than its name does.
    may_be_absent = read.need is Need.OPTIONAL and read.annotation == MAY_BE_ABSENT
    if may_be_absent and service_of_name(read.name, kinds) is None:
        return None
    if read.name == _URL_OF_DATABASE and not set(kinds) & set(ADDRESSES):
        return None
    wanted = read.need is Need.REQUIRED or _ACCESS.search(read.name) or _POINTS.search(read.name)
    wanted = wanted or _ACCOUNT.search(read.name)
    if wanted or _LIFE.search(read.name) or read.choices or service_of_name(read.name, kinds) is not None:
        return _invent(read, kinds)
    return None


def _invent(read: SettingRead, kinds: Sequence[ServiceKind]) -> Variable:
    value = _value(read, kinds)
    return Variable(read.name, value, Origin.MADE_UP, read.where, "{secret}" in value)


def _value(read: SettingRead, kinds: Sequence[ServiceKind]) -> str:
    kind = service_of_name(read.name, kinds)
    is_part = re.search(r"(?:NAME|USER|PASS\w*|PORT|HOST)$", read.name, re.IGNORECASE)
    sql = next((one for one in kinds if one in SQL_KINDS), None)
    if sql is not None and _DIALECT.search(read.name) and not read.choices:
        return "mysql" if sql is ServiceKind.MYSQL else "postgres"
    if kind is not None and not is_part and _ADDRESS.search(read.name):
        return ADDRESSES[kind]
    if read.kind is Kind.BOOLEAN:
        return "false"
    if _ROUNDS.search(read.name) and not read.choices:
        return "10"
    if _LIFE.search(read.name) and read.kind is Kind.TEXT:
        return "30" if _UNIT.search(read.name) else "1d"
    special = _known(read)
    return make_up(read) if special is None else special


def _known(read: SettingRead) -> str | None:
    """Return a value in the format that the variable's library checks, or None."""
    name = read.name.upper()
    table = (
        (r"TWILIO\w*SID|ACCOUNT_SID", "AC00000000000000000000000000000000"),
        (r"SENDGRID\w*KEY", "SG.preview.preview"),
        (r"STRIPE\w*PUBLI", "pk_test_preview"),
        (r"STRIPE\w*(?:KEY|SECRET)", "sk_test_preview"),
        (r"CLOUDINARY_URL", "cloudinary://1:preview@preview"),
        (r"SENTRY_DSN", ""),
        (r"(?:AWS|S3)_REGION|^REGION$", "us-east-1"),
        (r"(?:MAIL|SMTP)\w*PORT", "587"),
        (r"BASE_PATH|API_PREFIX", "/api"),
        (r"^LOKI_\w{0,20}HOST$", "http://localhost:3100"),
        # Its client wants a host's name, and no URL.
        (r"MINIO\w*(?:END_?POINT|HOST)$", "localhost"),
    )
    return next((value for pattern, value in table if re.search(pattern, name)), None)
