"""The files that ``@fastify/autoload`` loads, with the prefix of each."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from preview.endpoints.javascript import ROOT, Call, Function, JavaScriptEvaluator, JSObject, Native, Scope, truth

_SCRIPT: Final = re.compile(r"(?:(?:^.?|\.[^d]|[^.]d|[^.][^d])\.ts|\.[cm]?js|\.[cm]ts)$", re.IGNORECASE)
_INDEX: Final = re.compile(r"index\.[cm]?[jt]s", re.IGNORECASE)
_HOOKS: Final = re.compile(r"[_.]?auto_?hooks\.[cm]?[jt]s", re.IGNORECASE)
_MAX_FILES: Final = 500
_MAX_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class AutoloadedFile:
    """One plugin.

    Attributes:
        prefix: The whole prefix; empty for none.
        options: The options that the plugin gets.
        encapsulate: Whether the plugin gets an instance of its own.
    """

    exports: object
    scope: Scope
    prefix: str
    options: JSObject
    encapsulate: bool


@dataclass(slots=True)
class _Folder:
    files: list[str] = field(default_factory=list)
    folders: dict[str, _Folder] = field(default_factory=dict)


def find_autoloaded(options: JSObject, evaluator: JavaScriptEvaluator) -> list[AutoloadedFile] | None:
    """Return the plugins that a loader's options select; None if the folder is not known."""
    base = options.names.get("dir")
    if not isinstance(base, str):
        return None
    start = posixpath.normpath(posixpath.join(ROOT, evaluator.resolver.folder, base.removeprefix("file://")))
    if start != ROOT and not start.startswith(f"{ROOT}/"):
        return None
    folder = start.removeprefix(ROOT).lstrip("/")
    found = []
    for name, prefix in _walk(_tree(evaluator, folder), "", "", options, evaluator, 0):
        path = f"{folder}/{name}" if folder else name
        file = _read(path, prefix, options, evaluator)
        found += [file] if file is not None else []
        if len(found) >= _MAX_FILES:
            break
    return found


def _tree(evaluator: JavaScriptEvaluator, folder: str) -> _Folder:
    root, prefix = _Folder(), f"{folder}/" if folder else ""
    for name in evaluator.sources.all_names:
        if name.startswith(prefix):
            *parts, file = name.removeprefix(prefix).split("/")
            place = root
            for part in parts:
                place = place.folders.setdefault(part, _Folder())
            place.files.append(file)
    return root


def _walk(
    folder: _Folder, path: str, prefix: str, options: JSObject, evaluator: JavaScriptEvaluator, depth: int
) -> Iterator[tuple[str, str]]:
    """Yield each plugin's path below the loader's folder, and the prefix that its folder means."""
    most = options.names.get("maxDepth")
    index = next((name for name in folder.files if _INDEX.fullmatch(name)), None)
    if index is not None and _is_selected(path + index, options, evaluator):
        yield path + index, prefix
    for name in sorted(folder.files) if index is None else ():
        evaluator.step()
        is_plugin = _SCRIPT.search(name) and not _HOOKS.fullmatch(name)
        if (
            is_plugin
            and not _is_ignored(path + name, options, evaluator)
            and _is_selected(path + name, options, evaluator)
        ):
            yield path + name, prefix
    if depth >= _MAX_DEPTH or (isinstance(most, int) and most <= depth):
        return
    for name, inner in sorted(folder.folders.items()):
        if not _is_ignored(path + name, options, evaluator):
            part = _prefix_of(path, name, options, evaluator)
            yield from _walk(inner, f"{path}{name}/", f"{prefix}/{part}", options, evaluator, depth + 1)


def _prefix_of(path: str, name: str, options: JSObject, evaluator: JavaScriptEvaluator) -> str:
    rule = options.names.get("dirNameRoutePrefix", True)
    if isinstance(rule, Function):
        found = evaluator.call(rule, [path, name])
        return found if isinstance(found, str) else ""
    return "" if rule is False else name


def _is_ignored(path: str, options: JSObject, evaluator: JavaScriptEvaluator) -> bool:
    pattern = options.names.get("ignorePattern")
    return pattern is not None and truth(_match(path, pattern, evaluator)) is True


def _is_selected(path: str, options: JSObject, evaluator: JavaScriptEvaluator) -> bool:
    wanted, unwanted = options.names.get("matchFilter"), options.names.get("ignoreFilter")
    if wanted is not None and truth(_match(f"/{path}", wanted, evaluator)) is False:
        return False
    return unwanted is None or truth(_match(f"/{path}", unwanted, evaluator)) is not True


def _match(path: str, rule: object, evaluator: JavaScriptEvaluator) -> object:
    if isinstance(rule, str):
        return rule in path
    if isinstance(rule, Function):
        return evaluator.call(rule, [path])
    return evaluator.call_method(path, "match", Call.made(evaluator, [rule]))


def _read(path: str, folder_prefix: str, options: JSObject, evaluator: JavaScriptEvaluator) -> AutoloadedFile | None:
    module = evaluator.load(path)
    exports = module.exports
    plugin = evaluator.settle(exports)
    if isinstance(plugin, JSObject) and "default" in plugin.names:
        plugin = evaluator.settle(plugin.names["default"])

    def setting(name: str) -> object:
        own = plugin.names.get(name) if isinstance(plugin, Function) else None
        own = plugin.attribute(name) if isinstance(plugin, Native) else own
        if not isinstance(own, (str, bool, JSObject)) and isinstance(exports, JSObject):
            own = evaluator.settle(exports.names.get(name))
        return own

    if setting("autoload") is False:
        return None
    given, own = options.names.get("options"), setting("autoConfig")
    settings = JSObject({
        **(own.names if isinstance(own, JSObject) else {}), **(given.names if isinstance(given, JSObject) else {}),
    })  # fmt: skip
    prefix = _whole_prefix(settings.names.get("prefix"), folder_prefix, setting("autoPrefix"), options)
    override = setting("prefixOverride")
    prefix = override if isinstance(override, str) else prefix
    if options.names.get("routeParams") is True:
        prefix = prefix.replace("__", ":") if "__" in prefix else prefix.replace("/_", "/:")
    return AutoloadedFile(exports, module.scope, prefix, settings, options.names.get("encapsulate") is not False)


def _whole_prefix(given: object, folder: str, own: object, options: JSObject) -> str:
    start = given.removesuffix("/") if isinstance(given, str) else ""
    if isinstance(own, str):
        part = f"{folder}/{own}" if options.names.get("appendAutoPrefix") is True and folder else own
    else:
        part = folder
    return start + re.sub(r"/+", "/", part)
