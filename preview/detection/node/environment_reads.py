"""Find variables that JavaScript and TypeScript sources read from ``process.env``, or declare in a schema."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from typing import Final

from tree_sitter import Node

from preview.detection.node.environment_helpers import ENDS, is_refusal
from preview.detection.settings.model import MAY_BE_ABSENT, Kind, Need, SettingRead
from preview.sources.javascript import JavaScriptTrees, all_nodes, source_of

_WORDS: Final = re.compile(
    rb"process\.env|configService|ConfigService|cleanEnv|env-var|\benv\.get\(|\bConfig\.[a-zA-Z]{1,20}\("
)
_SCHEMA: Final = re.compile(
    rb"\b(?:[Jj]oi|zod|envalid|yup|convict|ConfigModule|(?:Type|t)\.Object)\b|env-schema|@fastify/env"
)
# `import { t } from "elysia"`: TypeBox under another name.
_ELYSIA: Final = re.compile(rb"""\bt\b[^;'"]{0,200}\bfrom\s{0,8}['"]elysia['"]""")
_ELYSIA_TYPE: Final = re.compile(r"\bt\s{0,20}\.(?=\s{0,20}[A-Z])")
# `import { get } from "env-var"`
_GETTER: Final = re.compile(
    rb"""\{[^{}]{0,100}\bget\b[^{}]{0,100}\}\s{0,4}(?:from|=\s{0,4}require\()\s{0,4}['"]env-var['"]"""
)
# `import { Config } from "effect"`
_EFFECT: Final = re.compile(rb"""\bConfig\b[^;'"]{0,500}\bfrom\s{0,8}['"]effect(?:/Config)?['"]""")
_EFFECT_KINDS: Final = {
    "string": Kind.TEXT, "nonEmptyString": Kind.TEXT, "redacted": Kind.TEXT, "secret": Kind.TEXT, "url": Kind.URL,
    "integer": Kind.INTEGER, "port": Kind.INTEGER, "number": Kind.NUMBER, "boolean": Kind.BOOLEAN,
}  # fmt: skip
# What a program does without the value.
_EFFECT_DEFAULT: Final = re.compile(rb"\bConfig\.(?:withDefault|option|orElse)")
_JSON_SCHEMA: Final = re.compile(rb"env-schema|@?fastify[/-]env\b")
# `required: ["SITE_KEY"]`, `type: "string"`
_DEFAULT: Final = re.compile(r"""\.default\(\s{0,8}(?:['"`]([^'"`\n$]{1,200})['"`]|(\d{1,9}|true|false)\b)""")
_DEMANDED: Final = re.compile(r"\brequired['\"]?\s{0,8}:\s{0,8}\[([^\]]{0,4000})\]")
_TYPED: Final = re.compile(r"""\{[^{}]{0,200}?\btype['"]?\s{0,8}:\s{0,8}['"](string|number|integer|boolean)['"]""")
_QUOTED: Final = re.compile(r"['\"`](\w{1,100})['\"`]")
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]*[A-Z0-9]")
_SCHEMA_VALUE: Final = re.compile(
    r"(?:[Jj]oi|Type|z|zod|yup|Yup|[Ee]nvalid|str|num|bool|url|email|port|host|json|makeValidator)\s*[.(]"
)
_IS_OBJECT: Final = re.compile(r"\w+\.(?:\w+[Oo]bject|object)\s*\(")
_FIRST: Final = re.compile(r"[A-Za-z_$][\w$]*")
_CASTS: Final = {"parseInt": Kind.INTEGER, "Number": Kind.NUMBER, "parseFloat": Kind.NUMBER, "Boolean": Kind.BOOLEAN}
_FUNCTIONS: Final = frozenset({"arrow_function", "function_expression", "function_declaration", "method_definition"})
_MOST_NODES: Final = 2_000
_AROUND: Final = frozenset({"non_null_expression", "as_expression", "parenthesized_expression"})
_CHOICES: Final = re.compile(r"(?:enum|valid|oneOf|equal|choices)['\"]?\s*[(:]\s*\[?([^)\]]*)")
_WORD: Final = re.compile(r"['\"]([^'\"]+)['\"]")
_LITERAL: Final = re.compile(r"\bType\.Literal\(\s{0,8}['\"]([^'\"]{1,100})['\"]")
_JSON_KINDS: Final = {"number": Kind.NUMBER, "integer": Kind.INTEGER, "boolean": Kind.BOOLEAN}
_MAX_FILES: Final = 400
# The text around a call may be that of the whole file, for each of its calls.
_MOST_OUTER: Final = 2_000
_MOST_OWNER: Final = 200


def environment_reads(trees: JavaScriptTrees, files: Iterable[str]) -> list[SettingRead]:
    """Return all reads of variables in the files, in order; a variable may occur many times."""
    sources = trees.sources
    found: list[SettingRead] = []
    names = [name for name in files if _WORDS.search(sources.text(name)) or _SCHEMA.search(sources.text(name))]
    for file in names[:_MAX_FILES]:
        tree = trees.tree(file)
        if tree is not None:
            found += _Reader(file, tree).reads()
    return found


class _Reader:
    """Finds the reads of one file."""

    def __init__(self, file: str, root: Node) -> None:
        self._file = file
        self._root = root
        self._text = text = root.text or b""

        self._has_schema = _SCHEMA.search(text) is not None or b"cleanEnv" in text
        self._is_elysia = b"t.Object" in text and _ELYSIA.search(text) is not None
        self._by_name = b"process.env[" in text
        self._has_getter = b"env-var" in text and _GETTER.search(text) is not None
        self._has_effect = b"effect" in text and _EFFECT.search(text) is not None
        source = source_of(root) if _JSON_SCHEMA.search(text) else ""
        # Names that a JSON schema demands; None in other files.
        self._demanded = (
            {name for found in _DEMANDED.findall(source) for name in _QUOTED.findall(found)} if source else None
        )
        # `const ttl = z.string().regex(…)`
        self._schemas: dict[str, str] = {}

    def reads(self) -> Iterator[SettingRead]:
        for node in all_nodes(self._root):
            yield from self._at(node)

    def _at(self, node: Node) -> Iterator[SettingRead]:
        match node.type:
            case "member_expression" | "subscript_expression" if _is_environment(node.child_by_field_name("object")):
                name = _key(node)
                if name is not None and not _is_written(node):
                    yield self._read(node, name)
            case "variable_declarator" if _is_environment(node.child_by_field_name("value")):
                yield from self._destructured(node.child_by_field_name("name"))
            case "variable_declarator" if self._has_schema:
                value = source_of(node.child_by_field_name("value"))
                if _SCHEMA_VALUE.match(value) and not _IS_OBJECT.match(value):
                    self._schemas[source_of(node.child_by_field_name("name"))] = value
            case "call_expression":
                yield from self._asked(node)
                if self._has_effect:
                    yield from self._of_effect(node)
            case "pair" if self._has_schema:
                yield from self._declared(node)
            case "array" if self._by_name:
                # `for (const name of ["A", "B"]) if (!process.env[name]) throw …`
                for name in map(_literal, node.named_children):
                    if name is not None and _NAME.fullmatch(name) and "_" in name:
                        yield SettingRead(name, self._file, node.start_point.row + 1, Need.REQUIRED)

    def _destructured(self, pattern: Node | None) -> Iterator[SettingRead]:
        for item in pattern.named_children if pattern is not None else ():
            first = item.named_children[0] if item.named_children else item
            default = item.child_by_field_name("right") or (
                item.named_children[-1] if item.type == "object_assignment_pattern" else None
            )
            read = SettingRead(source_of(first), self._file, item.start_point.row + 1, Need.OPTIONAL)
            if not _NAME.fullmatch(read.name):
                continue
            if default is not None:
                has_default = _is_value(default)
                read = replace(read, need=Need.DEFAULTED, default=_literal(default), has_default=has_default)
            yield read

    def _asked(self, node: Node) -> Iterator[SettingRead]:
        """Match ``configService.get("X")`` and ``env.get("X").required()``."""
        function = node.child_by_field_name("function")
        if function is None or function.type not in {"member_expression", "identifier"}:
            return
        is_own = self._has_getter and source_of(function) == "get"
        if function.type == "identifier" and not is_own:
            return
        method = "get" if is_own else source_of(function.child_by_field_name("property"))
        if method not in {"get", "getOrThrow"}:
            return
        owner = "env" if is_own else self._start(function.child_by_field_name("object")).decode("utf-8", "replace")
        if not re.search(r"(?i)config|^env$|environment", owner):
            return
        values = node.child_by_field_name("arguments")
        arguments = values.named_children if values is not None else []
        name = _literal(arguments[0]) if arguments else None
        if name is not None and _NAME.fullmatch(name):
            need = Need.REQUIRED if method == "getOrThrow" else Need.OPTIONAL
            need = Need.DEFAULTED if len(arguments) > 1 and arguments[1].type != "object" else need
            read = SettingRead(name, self._file, node.start_point.row + 1, need)
            outer = self._start(node.parent.parent if node.parent is not None else None)
            required = b".required(" in outer and owner == "env"
            yield replace(read, need=Need.REQUIRED) if required else read

    def _of_effect(self, node: Node) -> Iterator[SettingRead]:
        """Match ``Config.string("X")`` of Effect, and ``Config.string("X").pipe(Config.withDefault(…))``."""
        function = node.child_by_field_name("function")
        owner, _, method = self._start(function, _MOST_OWNER).decode("utf-8", "replace").partition(".")
        values = node.child_by_field_name("arguments")
        name = _literal(values.named_children[0]) if values is not None and values.named_children else None
        if owner != "Config" or method not in _EFFECT_KINDS or name is None or not _NAME.fullmatch(name):
            return
        # `.pipe(…)` of the call, or `pipe(Config.string("X"), Config.withDefault(…))`.
        parent = node.parent
        outer = parent.parent if parent is not None and parent.type in {"member_expression", "arguments"} else None
        has_default = _EFFECT_DEFAULT.search(self._start(outer)) is not None
        need = Need.DEFAULTED if has_default else Need.REQUIRED
        line = node.start_point.row + 1
        yield SettingRead(name, self._file, line, need, _EFFECT_KINDS[method], has_default=has_default)

    def _start(self, node: Node | None, most_bytes: int = _MOST_OUTER) -> bytes:
        """Return the start of a node's source; empty for none."""
        if node is None:
            return b""
        start = node.start_byte - self._root.start_byte
        return self._text[start : min(node.end_byte - self._root.start_byte, start + most_bytes)]

    def _declared(self, node: Node) -> Iterator[SettingRead]:
        """Match ``JWT_SECRET: Joi.string().required()`` and similar declarations."""
        key, value = node.child_by_field_name("key"), source_of(node.child_by_field_name("value"))
        name = source_of(key).strip("\"'")
        if self._is_elysia and _NAME.fullmatch(name):
            value = _ELYSIA_TYPE.sub("Type.", value)
        first = _FIRST.match(value)
        if first is not None and first[0] in self._schemas:
            value = self._schemas[first[0]] + value[first.end() :]
        if self._demanded is not None and _NAME.fullmatch(name) and _TYPED.match(value):
            yield self._typed(node, name, value, self._demanded)
        if not _NAME.fullmatch(name) or not _SCHEMA_VALUE.match(value):
            return
        joi = re.match(r"[Jj]oi|[Yy]up", value) is not None
        defaulted = re.search(r"\.default\(|default:|devDefault|\.catch\(", value) is not None
        may_be_absent = re.search(r"\.optional\(|\.nullish\(|^Type\.Optional\(", value) is not None
        optional = may_be_absent or (joi and ".required(" not in value)
        need = Need.DEFAULTED if defaulted else Need.OPTIONAL if optional else Need.REQUIRED
        choices = _CHOICES.search(value)
        literals = _LITERAL.findall(value)
        if joi and defaulted and not optional and (default := _DEFAULT.search(value)) is not None:
            # Joi takes no default for what it requires.
            need, literals = Need.REQUIRED, [default[1] or default[2]]
        least = re.search(r"\.(?:min|length)\(\s*(\d+)", value)
        yield SettingRead(
            name,
            self._file,
            node.start_point.row + 1,
            need,
            _schema_kind(value),
            choices=tuple(literals or (_WORD.findall(choices[1]) if choices else ())),
            annotation=MAY_BE_ABSENT if may_be_absent else "",
            least=int(least[1]) if least else 0,
        )

    def _typed(self, node: Node, name: str, value: str, demanded: Container[str]) -> SettingRead:
        """Return the variable of ``SITE_KEY: {type: "string"}`` in a JSON schema."""
        type_ = _TYPED.match(value)
        default = re.search(r"\bdefault['\"]?\s{0,8}:\s{0,8}(\S)", value)
        need = Need.DEFAULTED if default else Need.REQUIRED if name in demanded else Need.OPTIONAL
        kind = _JSON_KINDS.get(type_[1] if type_ is not None else "", Kind.TEXT)
        choices = _CHOICES.search(value)
        words = tuple(_WORD.findall(choices[1])) if choices else ()
        return SettingRead(name, self._file, node.start_point.row + 1, need, kind, choices=words)

    def _read(self, node: Node, name: str) -> SettingRead:
        read = SettingRead(name, self._file, node.start_point.row + 1, Need.OPTIONAL)
        parent = node.parent
        # `process.env.X!`, `process.env.X as string`, `(…)`
        while parent is not None and parent.type in _AROUND:
            if parent.type != "parenthesized_expression":
                read = replace(read, need=Need.REQUIRED)
            node, parent = parent, parent.parent
        if parent is None:
            return read
        operator = source_of(parent.child_by_field_name("operator"))
        if parent.type == "binary_expression" and operator in {"||", "??"}:
            if parent.child_by_field_name("left") == node:
                right = parent.child_by_field_name("right")
                need = Need.REQUIRED if is_refusal(source_of(right)) else Need.DEFAULTED
                return replace(read, need=need, default=_literal(right), has_default=_is_value(right))
        elif parent.type == "binary_expression" and operator in {"===", "==", "!==", "!="}:
            return replace(read, need=Need.DEFAULTED)
        elif parent.type == "ternary_expression" and parent.child_by_field_name("condition") == node:
            return replace(read, need=Need.DEFAULTED, has_default=True)
        elif (
            parent.type == "unary_expression" and operator == "!" and _ends(parent)
        ) or parent.type == "member_expression":
            return replace(read, need=Need.REQUIRED)
        elif parent.type == "arguments" and parent.parent is not None:
            called = source_of(parent.parent.child_by_field_name("function"))
            return replace(read, kind=_CASTS.get(called.rpartition(".")[2], Kind.TEXT))
        return read


def _is_environment(node: Node | None) -> bool:
    # In a chain of calls, each call's object is all that stands before it.
    is_short = node is not None and node.end_byte - node.start_byte <= _MOST_OWNER
    return is_short and source_of(node) in {"process.env", "process?.env", "globalThis.process.env", "Bun.env"}


def _is_value(node: Node | None) -> bool:
    return source_of(node) not in {"undefined", "null", "''", '""'}


def _key(node: Node) -> str | None:
    if node.type == "member_expression":
        name = source_of(node.child_by_field_name("property"))
    else:
        name = _literal(node.child_by_field_name("index")) or ""
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else None


def _is_written(node: Node) -> bool:
    parent = node.parent
    return parent is not None and parent.type == "assignment_expression" and parent.child_by_field_name("left") == node


def _ends(node: Node) -> bool:
    """Return true if the ``if`` with this test ends the program."""
    parent = node.parent
    while parent is not None and parent.type in {"parenthesized_expression", "binary_expression"}:
        parent = parent.parent
    if parent is None or parent.type != "if_statement":
        return False
    body = parent.child_by_field_name("consequence")
    todo = [] if body is None or ENDS.search(source_of(body)) is None else [body]
    for _ in range(_MOST_NODES):
        if not todo:
            return False
        node = todo.pop()
        name = source_of(node.child_by_field_name("function")) if node.type == "call_expression" else ""
        if node.type == "throw_statement" or ENDS.match(name):
            return True
        # What a function in it does may never be done: `start().catch(() => process.exit(1))`.
        todo += [] if node.type in _FUNCTIONS else node.named_children
    return False


def _schema_kind(value: str) -> Kind:
    if re.search(r"\.?(?:number|num|port|int|coerce\.number|Type\.Number|Type\.Integer)\s*\(", value):
        return Kind.INTEGER
    if re.search(r"\.?[bB]ool(?:ean)?\s*\(", value):
        return Kind.BOOLEAN
    if re.search(r"\.?(?:email)\s*\(", value):
        return Kind.EMAIL
    if re.search(r"\.?(?:uri|url)\s*\(", value):
        return Kind.URL
    return Kind.OBJECT if re.search(r"\bjson\s*\(", value) else Kind.TEXT


def _literal(node: Node | None) -> str | None:
    if node is None:
        return None
    if node.type in {"string", "template_string"} and "${" not in source_of(node):
        return source_of(node)[1:-1]
    return source_of(node) if node.type in {"number", "true", "false"} else None
