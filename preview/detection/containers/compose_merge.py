"""Read a compose file with the files that it includes, extends and overrides, as one table of services.

Source: compose-spec.io, chapters "Include", "Merge" and "Extends".
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from preview.sources import Sources
from preview.sources.yaml_values import UnreadableYaml, YamlValue, read_yaml

_MOST_FILES: Final = 10
_MOST_DEPTH: Final = 5
_MOST_ENTRIES: Final = 300
_MOST_SERVICES: Final = 50
_MOST_MERGED: Final = 50_000
_MOST_NESTED: Final = 20
_OVERRIDES: Final = (
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yaml",
    "docker-compose.override.yml",
)
# Of two values of these the later one counts as a whole.
_REPLACED: Final = frozenset({"command", "entrypoint", "test"})
# Lists of ``NAME=value``, which are tables too.
_TABLES: Final = frozenset({"environment", "args", "labels"})
_OF_A_BASE_ALONE: Final = ("depends_on", "links", "volumes_from", "profiles")

Table = dict[str, YamlValue]


@dataclass(slots=True)
class _Reader:
    """Files that were read: their number is bounded.

    Attributes:
        sources: The project's files.
        text: Fills references in.
        inside: Returns a path in its plain form; None if it leads out of the project.
        named: Files that the project names beside the first one, in place of overrides; None if it names none.
        files: Files that were read.
        contents: Contents of files, by path.
        budget: How many values may still be merged.
    """

    sources: Sources
    text: Callable[[YamlValue], str]
    inside: Callable[[str], str | None]
    named: Sequence[str] | None = None
    files: list[str] = field(default_factory=list)
    contents: dict[str, Table] = field(default_factory=dict)
    budget: list[int] = field(default_factory=lambda: [_MOST_MERGED])

    def services(self, file: str, depth: int = 0) -> dict[str, Table]:
        """Return the services of a file, with those of the files that it includes, and its overrides."""
        if depth > _MOST_DEPTH or len(self.files) >= _MOST_FILES:
            raise UnreadableYaml(f"it includes more than {_MOST_FILES} files, or itself")
        self.files.append(file)
        content, folder = self._content(file), posixpath.dirname(file)
        found: dict[str, Table] = {}
        for path in self._included(content, folder):
            found |= self.services(path, depth + 1)
        own = content.get("services")
        if not isinstance(own, dict) and not found:
            raise UnreadableYaml("it has no services")
        for name, one in list((own if isinstance(own, dict) else {}).items())[:_MOST_SERVICES]:
            if name in found:
                raise UnreadableYaml(f"its service {name[:60]} is in an included file too")
            found[name] = self._extended(_as_table(one), file, depth)
        if depth == 0 or folder != posixpath.dirname(self.files[0]):
            for path in self._overrides(folder, file):
                self.files.append(path)
                changes = self._content(path).get("services")
                for name, one in list((changes if isinstance(changes, dict) else {}).items())[:_MOST_SERVICES]:
                    own_changes = self._extended(_as_table(one), path, depth)
                    found[name] = merged(found.get(name, {}), own_changes, self.budget)
        return found

    def _content(self, file: str) -> Table:
        if file not in self.contents:
            if len(self.contents) >= 2 * _MOST_FILES:
                raise UnreadableYaml(f"it reads more than {2 * _MOST_FILES} files")
            self.contents[file] = _as_table(read_yaml(self.sources.text(file)))
        return self.contents[file]

    def _included(self, content: Table, folder: str) -> Iterator[str]:
        listed = content.get("include")
        for one in listed if isinstance(listed, list) else []:
            named = one.get("path") if isinstance(one, dict) else one
            for path in named if isinstance(named, list) else [named]:
                yield self._file(path, folder, "includes")

    def _overrides(self, folder: str, file: str) -> Iterator[str]:
        if self.named is not None and file == self.files[0]:
            yield from (self._file(path, "", "is read with") for path in self.named[:_MOST_FILES])
            return
        paths = [posixpath.join(folder, name) for name in _OVERRIDES]
        yield from [path for path in paths if path != file and self.sources.has_file(path)][:1]

    def _file(self, path: YamlValue, folder: str, verb: str) -> str:
        named = self.text(path)
        found = self.inside(posixpath.join(folder, named)) if named else None
        if found is None or not self.sources.has_file(found):
            raise UnreadableYaml(f"it {verb} {named[:100] or 'a file'}, which is no file of the project")
        return found

    def _extended(self, one: Table, file: str, depth: int) -> Table:
        """Return a service with what it extends, its paths relative to the project."""
        # Paths in files that are named beside the first one are relative to its folder.
        folder, own = posixpath.dirname(self.files[0] if file in (self.named or ()) else file), dict(one)
        base = own.pop("extends", None)
        own = _placed(own, folder)
        if base is None:
            return own
        if depth > _MOST_DEPTH:
            raise UnreadableYaml("its services extend one another without an end")
        table = base if isinstance(base, dict) else {"service": base}
        name = self.text(table.get("service"))
        other = self._file(table["file"], folder, "extends a service of") if table.get("file") else file
        services = self._content(other).get("services")
        found = services.get(name) if isinstance(services, dict) else None
        if not isinstance(found, dict):
            raise UnreadableYaml(f"it extends the service {name[:60] or 'of no name'}, which does not exist")
        inherited = self._extended(found, other, depth + 1)
        for key in _OF_A_BASE_ALONE:
            inherited.pop(key, None)
        return merged(inherited, own, self.budget)


def read_services(
    sources: Sources,
    file: str,
    text: Callable[[YamlValue], str],
    inside: Callable[[str], str | None],
    named: Sequence[str] | None = None,
) -> dict[str, Table]:
    """Return all services of a compose file; paths in them are relative to the project.

    Args:
        sources: The project's files.
        file: The compose file.
        text: Fills references to variables in.
        inside: Returns a path in its plain form; None if it leads out of the project.
        named: Files whose values are merged into it; None: the first override file, if there is one.

    Raises:
        UnreadableYaml: It, or a file that it names, cannot be read.
    """
    if not sources.has_file(file):
        raise UnreadableYaml("there is no such file in the project")
    return _Reader(sources, text, inside, named).services(file)


def merged(base: Table, changes: Table, budget: list[int], depth: int = 0) -> Table:
    """Return a table with the values of another one: tables merge, lists join, and other values replace.

    Aliases may repeat a table within itself many times over, so ``budget`` bounds the number of values.

    Raises:
        UnreadableYaml: The budget is used up, or tables lie too deep in one another.
    """
    budget[0] -= 1 + len(base) + len(changes)
    if budget[0] < 0 or depth > _MOST_NESTED:
        raise UnreadableYaml("it merges too much")
    found = dict(base)
    for key, value in changes.items():
        before = found.get(key)
        if key in _REPLACED or before is None or value is None:
            found[key] = value
        elif key in _TABLES:
            found[key] = {**_named(before), **_named(value)}
        elif key == "depends_on":
            found[key] = {**_keyed(before), **_keyed(value)}
        elif isinstance(before, dict) and isinstance(value, dict):
            found[key] = merged(before, value, budget, depth + 1)
        elif key == "build" and isinstance(value, dict):
            found[key] = merged({"context": before}, value, budget, depth + 1)
        elif isinstance(before, list) or isinstance(value, list):
            found[key] = [*_listed(before), *_listed(value)][:_MOST_ENTRIES]
        else:
            found[key] = value
    return found


def _placed(one: Table, folder: str) -> Table:
    """Return a service whose paths are relative to the project, not to its file."""
    if not folder:
        return one
    found = dict(one)
    build = found.get("build")
    if isinstance(build, str):
        found["build"] = posixpath.join(folder, build)
    elif isinstance(build, dict):
        context = build.get("context")
        found["build"] = {**build, "context": posixpath.join(folder, context if isinstance(context, str) else ".")}
    if found.get("env_file") is not None:
        found["env_file"] = [_file_in(folder, item) for item in _listed(found["env_file"])]
    return found


def _file_in(folder: str, item: YamlValue) -> YamlValue:
    if isinstance(item, dict) and isinstance(item.get("path"), str):
        return {**item, "path": posixpath.join(folder, str(item["path"]))}
    return posixpath.join(folder, item) if isinstance(item, str) else item


def _named(value: YamlValue) -> Table:
    if isinstance(value, dict):
        return value
    pairs = [one.partition("=") for one in _listed(value) if isinstance(one, str)]
    # A name alone is left to the person who starts the file.
    return {name: text if sign else None for name, sign, text in pairs}


def _keyed(value: YamlValue) -> Table:
    return value if isinstance(value, dict) else {one: None for one in _listed(value) if isinstance(one, str)}


def _listed(value: YamlValue) -> list[YamlValue]:
    return value if isinstance(value, list) else [value]


def _as_table(value: YamlValue) -> Table:
    return value if isinstance(value, dict) else {}


def unread_keys(services: Mapping[str, Table]) -> dict[str, list[str]]:
    """Return the keys of each service that are not read and would change how it runs."""
    found = {name: sorted(_NOT_READ & one.keys()) for name, one in services.items()}
    return {name: keys for name, keys in found.items() if keys}


_NOT_READ: Final = frozenset(
    {"cap_add", "configs", "credential_spec", "cgroup", "devices", "device_cgroup_rules", "dns", "extra_hosts",
     "gpus", "ipc", "links", "network_mode", "pid", "post_start", "pre_stop", "privileged", "runtime", "secrets",
     "security_opt", "sysctls", "tmpfs", "user", "userns_mode", "volumes_from"}
)  # fmt: skip
