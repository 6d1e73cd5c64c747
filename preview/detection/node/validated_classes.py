"""Find variables that a class of class-validator declares, by which NestJS checks the environment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from tree_sitter import Node

from preview.detection.settings.model import Kind, Need, SettingRead
from preview.sources.javascript import JavaScriptTrees, all_nodes, source_of

# A class without these is for the body of requests.
_CHECKS: Final = re.compile(rb"\bprocess\.env\b|\bplainTo(?:Class|Instance)\(|\bregisterAs\(")
_NAME: Final = re.compile(r"[A-Z][A-Z0-9_]{0,98}[A-Z0-9]")
_KINDS: Final = (
    (re.compile(r"@Is(?:Number|Int|Port|NumberString)\b|: number$"), Kind.INTEGER),
    (re.compile(r"@IsBoolean|: boolean$"), Kind.BOOLEAN),
    (re.compile(r"@IsUrl\b"), Kind.URL),
    (re.compile(r"@IsEmail\b"), Kind.EMAIL),
)
_OPTIONAL: Final = re.compile(r"@(?:IsOptional|ValidateIf)\b")
_LEAST: Final = re.compile(r"@(?:MinLength|Length)\(\s{0,8}(\d{1,4})")
# `@IsEnum(Mode)`, `@IsIn(["local", "live"])`
_CHOICES: Final = re.compile(
    r"@Is(?:Enum\(\s{0,8}(?P<enum>\w{1,100})|In\(\s{0,8}\[(?P<words>[^\]]{0,500})\])", re.DOTALL
)
_WORD: Final = re.compile(r"['\"]([^'\"]{1,100})['\"]")
_MAX_FILES: Final = 100


def validated_reads(trees: JavaScriptTrees, files: Iterable[str]) -> list[SettingRead]:
    """Return the variables that the files' classes declare: ``@IsString() SITE_KEY: string``."""
    sources = trees.sources
    names = [one for one in files if b"class-validator" in sources.text(one) and _CHECKS.search(sources.text(one))]
    found: list[SettingRead] = []
    for file in names[:_MAX_FILES]:
        tree = trees.tree(file)
        nodes = list(all_nodes(tree)) if tree is not None else []
        enums = dict(_enum(node) for node in nodes if node.type == "enum_declaration")
        fields = (node for node in nodes if node.type == "public_field_definition")
        found += (read for node in fields for read in _declared(node, file, enums))
    return found


def _enum(node: Node) -> tuple[str, tuple[str, ...]]:
    body = source_of(node.child_by_field_name("body"))
    return source_of(node.child_by_field_name("name")), tuple(_WORD.findall(body[:4_000]))


def _declared(node: Node, file: str, enums: dict[str, tuple[str, ...]]) -> Iterator[SettingRead]:
    name_node, default = node.child_by_field_name("name"), node.child_by_field_name("value")
    name = source_of(name_node)
    checks = " ".join(source_of(one)[:1_000] for one in node.named_children if one.type == "decorator")
    if name_node is None or not _NAME.fullmatch(name) or "@" not in checks:
        return
    said = f"{checks} {source_of(node.child_by_field_name('type'))[:100]}"
    match, least = _CHOICES.search(checks), _LEAST.search(checks)
    choices = () if match is None else enums.get(match["enum"] or "") or tuple(_WORD.findall(match["words"] or ""))
    is_optional = _OPTIONAL.search(checks) is not None or any(one.type == "?" for one in node.children)
    yield SettingRead(
        name,
        file,
        name_node.start_point.row + 1,
        Need.DEFAULTED if default is not None else Need.OPTIONAL if is_optional else Need.REQUIRED,
        next((kind for pattern, kind in _KINDS if pattern.search(said)), Kind.TEXT),
        choices=choices,
        least=int(least[1]) if least is not None else 0,
        has_default=default is not None,
    )
