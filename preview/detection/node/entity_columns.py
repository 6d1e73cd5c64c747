"""Columns of entities whose type only TypeScript's compiler can tell: it must read the file that declares it."""

from __future__ import annotations

import re
from typing import Final

from preview.detection.node.project import NodeProject

_COLUMN: Final = re.compile(r"@Column\((?P<options>[^()@;]{0,300})\)(?P<rest>[^;=]{0,400})")
_TELLS: Final = re.compile(r"\b(?:type|enum)\b|^\s{0,20}['\"`]|=>")
# `status?: OrderStatus`, after other decorators.
_PROPERTY: Final = re.compile(r"(?:^|[\s)])\w{1,100}[?!]?\s{0,4}:\s{0,4}(?P<type>[A-Za-z_]\w{0,100})\s{0,20}$")
_DECLARED: Final = re.compile(
    r"^[ \t]{0,8}(?:export[ \t]{1,4})?(?:declare[ \t]{1,4})?(?:const[ \t]{1,4})?(?:enum|type)[ \t]{1,4}(\w{1,100})",
    re.MULTILINE,
)
_MAX_FILES: Final = 400


def has_untold_columns(project: NodeProject) -> bool:
    """Return whether an entity of TypeORM has a column without a type, of an enumeration or alias of another file.

    Compilers that read one file at a time take it for an object, which no database stores.
    """
    if not project.requires("typeorm"):
        return False
    texts = [project.text(name) for name in project.scripts[:_MAX_FILES] if name.endswith(".ts")]
    wanted = {name for text in texts if "@Column(" in text for name in _types(text)}
    return bool(wanted) and any(name in wanted for text in texts for name in _DECLARED.findall(text))


def _types(text: str) -> set[str]:
    """Return the types of the columns whose options do not tell them, unless the file itself declares them."""
    found: set[str] = set()
    for match in _COLUMN.finditer(text):
        if not _TELLS.search(match["options"]) and (one := _PROPERTY.search(match["rest"])):
            found.add(one["type"])
    return found - set(_DECLARED.findall(text))
