"""Collect the variables that a project reads, and choose values for those that it requires."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

from preview.detection.plan import Origin, Variable
from preview.detection.project_imports import Nodes
from preview.detection.settings.environment_reads import environment_reads
from preview.detection.settings.example_files import ExampleValue, example_values, is_placeholder, own_values
from preview.detection.settings.key_forms import has_form, with_key_forms
from preview.detection.settings.model import Kind, Need, SettingRead
from preview.detection.settings.prefixed_reads import prefixed_reads
from preview.detection.settings.pydantic_fields import pydantic_reads
from preview.detection.settings.told_values import composed_constants, readme_values
from preview.detection.settings.values import is_debug, is_environment, is_secret_name, make_up, service_of

# Variables that every preview has.
_GIVEN: Final = frozenset(
    {"PORT", "LOG_LEVEL", "NODE_ENV", "PATH", "HOME", "TMPDIR", "LANG", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONUNBUFFERED",
     "DJANGO_SETTINGS_MODULE", "PYTHONDONTWRITEBYTECODE"}
)  # fmt: skip
# Without these, an application starts but then fails on the first request that needs them.
_WANTED: Final = re.compile(
    r"^(?:(?:APP|FLASK|DJANGO|JWT|SESSION|AUTH|ACCESS|REFRESH|TOKEN|SECURITY|MY|API|FASTAPI|PROJECT|COOKIE|CSRF|WTF)_)*"
    r"(?:SECRET(?:_KEY)?|SECRET_TOKEN|TOKEN_SECRET|ALGORITHM|PASSWORD_SALT|SALT|JWT_KEY|SIGNING_KEY|ENCRYPTION_KEY|KEY"
    r"|(?:TOKEN_)?EXPIRE(?:S)?(?:_IN)?(?:_MINUTES|_DAYS|_HOURS|_SECONDS)?)$|_API_KEY$"
)
# Secrets that a settings class leaves empty (``= None``) and the application refuses to run without.
_SECRET: Final = re.compile(r"(?:^|_)SECRET(?:_KEY)?$")
# Django refuses an empty one, and so do Flask's sessions and libraries for JSON web tokens.
_SIGNING_KEY: Final = re.compile(r"(?:(?:APP|FLASK|DJANGO|FASTAPI|JWT)_)?SECRET_KEY|JWT_SECRET")
_ENVIRONMENT_FILE: Final = re.compile(
    r"(?:^|/)(?:config|configs|conf|settings|environments?|envs?)/(development|dev|local)\.(?:py|env|ya?ml|toml|json|ini|cfg)$"
)
# A program that waits for a developer's debugger never answers.
_DEBUGGER: Final = re.compile(rb"\b(?:debugpy|ptvsd|pydevd(?:_pycharm)?|remote_pdb|rpdb)\b")
_DOCKER_HOST: Final = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class ProjectSettings:
    """Variables that a project reads (one for each name, the strictest), and values in its own files.

    Attributes:
        documented: Values in its compose files and README.
    """

    reads: Mapping[str, SettingRead]
    own: Mapping[str, ExampleValue]
    examples: Mapping[str, ExampleValue]
    documented: Mapping[str, ExampleValue] = field(default_factory=dict)

    def variables(self, without: Iterable[str]) -> dict[str, Variable]:
        """Return values for all required variables, except for the names in ``without``."""
        decided = {name.upper() for name in without} | _GIVEN
        found = {name: variable for name, read in self.reads.items() if name.upper() not in decided
                 and (variable := self._value(read)) is not None}  # fmt: skip
        return found | _log_level(self.reads)

    def kept_as(self, name: str) -> SettingRead | None:
        """Return the variable of this name, in lower case too; else the only one that the source keeps as it."""
        return self.reads.get(name) or self.reads.get(name.upper()) or self._kept.get(name)

    @cached_property
    def _kept(self) -> Mapping[str, SettingRead]:
        """The reads by the names that the source keeps them as, without names of several."""
        times = Counter(read.field for read in self.reads.values())
        return {read.field: read for read in self.reads.values() if read.field and times[read.field] == 1}

    @property
    def defaulted(self) -> frozenset[str]:
        """Names of the variables that have a default in the sources."""
        return frozenset(name for name, read in self.reads.items() if read.has_default)

    @property
    def dispensable(self) -> frozenset[str]:
        """Names of the variables that the sources can do without."""
        return frozenset(name for name, read in self.reads.items() if read.need is not Need.REQUIRED)

    def _value(self, read: SettingRead) -> Variable | None:
        needed = read.need is Need.REQUIRED
        name = read.name.upper()
        is_empty = read.need is Need.DEFAULTED and (
            (read.default is None and _SECRET.search(name) is not None)
            or (read.default == "" and _SIGNING_KEY.fullmatch(name) is not None)
        )
        wanted = (read.need is Need.OPTIONAL or is_empty) and (_WANTED.search(name) is not None or bool(read.form))
        own = self.own.get(read.name) or self.own.get(read.name.lower())
        if own is not None:
            return (
                Variable(read.name, own.value, Origin.EXAMPLE, own.file, is_secret_name(read.name)) if needed else None
            )
        example = self.examples.get(read.name) or self.examples.get(read.name.lower())
        harmless = (
            read.need is Need.OPTIONAL
            and service_of(read.name) is None
            and "://" not in (example.value if example else "")
        ) or (read.need is Need.OPTIONAL and example is not None and example.value.startswith("sqlite"))
        if example is not None and (needed or wanted or harmless) and _fits(example.value, read):
            return Variable(
                read.name,
                local_address(read.name, example.value),
                Origin.EXAMPLE,
                example.file,
                is_secret_name(read.name),
            )
        if needed and read.annotation.endswith("?") and read.kind is Kind.TEXT and not wanted:
            return Variable(read.name, "", Origin.MADE_UP, read.where, is_secret_name(read.name))
        # Their addresses are those of its author's machine, or of containers.
        told = self.documented.get(read.name) if needed and service_of(read.name) is None else None
        if told is not None and "://" not in told.value and _fits(told.value, read):
            return Variable(read.name, told.value, Origin.EXAMPLE, told.file, is_secret_name(read.name))
        return variable_for(read) if needed or wanted else None


def collect(nodes: Nodes, files: Sequence[str], folders: Sequence[str]) -> ProjectSettings:
    """Read the files' variables, and the ``.env`` and example files of the folders."""
    reads: dict[str, SettingRead] = {}
    examples = example_values(nodes.sources, folders)
    by_prefix = prefixed_reads(nodes, files, examples)
    for read in (*environment_reads(nodes, files), *pydantic_reads(nodes, files), *by_prefix):
        reads[read.name] = _combine(reads[read.name], read) if read.name in reads else read
    reads = with_key_forms(reads, nodes.sources, files)
    reads = {name: _with_environment(read, nodes.sources.all_names) for name, read in reads.items()}
    if any(_DEBUGGER.search(nodes.sources.text(file)) for file in files):
        reads = {name: _without_debugger(read) for name, read in reads.items()}
    documented = readme_values(nodes.sources, folders) | composed_constants(nodes.sources)
    return ProjectSettings(reads, own_values(nodes.sources, folders), examples, documented)


def _with_environment(read: SettingRead, files: Iterable[str]) -> SettingRead:
    """Return the read as required if it names an environment and the project has a file for one: ``dev.py``.

    ``config/{APP_ENV}.py`` without a value is ``config/None.py``.
    """
    if read.need is not Need.OPTIONAL or not is_environment(read.name):
        return read
    stems = {match[1] for name in files if (match := _ENVIRONMENT_FILE.search(name))}
    value = next((one for one in ("development", "dev", "local") if one in stems), None)
    return read if value is None else replace(read, need=Need.REQUIRED, choices=(value,))


def _without_debugger(read: SettingRead) -> SettingRead:
    if not is_debug(read.name) or read.need is Need.DEFAULTED:
        return read
    return replace(read, need=Need.REQUIRED, kind=Kind.TEXT, choices=("False",))


def variable_for(read: SettingRead, value: str | None = None) -> Variable:
    """Return the variable with the given value, or a generated one."""
    given = make_up(read) if value is None else value
    return Variable(read.name, given, Origin.MADE_UP, read.where, is_secret_name(read.name))


def placeholder_for(
    name: str, kind: Kind = Kind.TEXT, *, choices: tuple[str, ...] = (), least: int = 0, annotation: str = ""
) -> Variable:
    """Return a harmless value for a variable of which only these facts are known; see ``SettingRead``."""
    read = SettingRead(name, "", 0, Need.REQUIRED, kind, None, choices, annotation, least)
    return replace(variable_for(read), where="")


def _combine(one: SettingRead, other: SettingRead) -> SettingRead:
    """Merge two reads of one variable: the stricter need, with the details of both."""
    order = [Need.REQUIRED, Need.OPTIONAL, Need.DEFAULTED]
    first, second = sorted((one, other), key=lambda read: order.index(read.need))
    return replace(
        first,
        kind=first.kind if first.kind is not Kind.TEXT else second.kind,
        default=first.default if first.default is not None else second.default,
        choices=first.choices or second.choices,
        annotation=first.annotation or second.annotation,
        least=max(first.least, second.least),
        field=first.field or second.field,
    )


def _fits(value: str, read: SettingRead) -> bool:
    """Return true if an example's value is usable: of the declared type, and not a placeholder such as ``changeme``."""
    if is_placeholder(value) or not has_form(value, read.form):
        return False
    if read.choices and read.need is Need.REQUIRED and read.kind is not Kind.BOOLEAN:
        return value in read.choices
    match read.kind:
        case Kind.INTEGER:
            return value.strip().lstrip("-").isdigit()
        case Kind.NUMBER:
            return re.fullmatch(r"-?\d+(\.\d+)?", value.strip()) is not None
        case Kind.LIST | Kind.OBJECT:
            return value.strip().startswith(("[", "{"))
        case Kind.URL:
            return "://" in value
        case Kind.EMAIL:
            return re.fullmatch(r"[^@\s]+@[^@\s]+\.\w+", value) is not None
        case _:
            return len(value) >= read.least


def local_address(name: str, value: str) -> str:
    """Replace the address of a neighbouring container by this machine's."""
    if service_of(name) is None:
        return value
    value = re.sub(r"(?<=@)[a-z][a-z0-9_-]*(?=[:/])|(?<=://)[a-z][a-z0-9_-]*(?=:\d|/|$)", "localhost", value)
    host = name.upper().endswith(("HOST", "HOSTNAME", "SERVER"))
    return "localhost" if host and _DOCKER_HOST.fullmatch(value) else value


def _log_level(reads: Mapping[str, SettingRead]) -> dict[str, Variable]:
    """Return the service's default ``ERROR``, or a level that the project accepts."""
    read = reads.get("LOG_LEVEL")
    if read is None or (not read.choices and read.kind is not Kind.INTEGER) or "ERROR" in read.choices:
        return {}
    by_lower = {choice.lower(): choice for choice in read.choices}
    value = "40" if not by_lower else by_lower.get("error") or by_lower.get("warning") or read.choices[0]
    return {"LOG_LEVEL": Variable("LOG_LEVEL", value, Origin.SUPPLIED, read.where)}
