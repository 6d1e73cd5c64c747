"""Reading of a pasted ``.env`` text."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from preview.core.env_file import MisreadEnv, read_env_text
from preview.detection import is_secret_name
from preview.errors import InvalidRequest
from preview.launch_settings.model import MOST_LAYER_BYTES, SecretValue, check_values

# Comments and spaces count too.
MOST_TEXT_BYTES: Final = 4 * MOST_LAYER_BYTES


@dataclass(frozen=True, slots=True)
class EnvImport:
    """Variables and secrets of a ``.env`` text, by name."""

    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretValue] = field(default_factory=dict)

    def with_secrets(self, names: Collection[str]) -> EnvImport:
        """Return the same with further names as secrets."""
        secrets = {name: SecretValue(value) for name, value in self.variables.items() if name in names and value}
        left = {name: value for name, value in self.variables.items() if name not in secrets}
        return EnvImport(left, {**self.secrets, **secrets})


def parse_env(text: str, secrets: Collection[str] | None) -> EnvImport:
    """Read a ``.env`` text. The parser stops at the first mistake, so that its work is linear in the size.

    Args:
        text: The text: ``NAME=VALUE`` lines, comments, ``export``, quotes. Nothing is expanded.
        secrets: Names to keep as secrets; None: those whose name looks like a secret (``…_KEY``, ``…_TOKEN``).

    Raises:
        InvalidRequest: A line is not NAME=VALUE, or a name or a value is wrong. The message has no value.
    """
    if len(text) > MOST_TEXT_BYTES:
        raise InvalidRequest(f"The text has more than {MOST_TEXT_BYTES // 1024} KiB; paste the part that you need.")
    try:
        read = read_env_text(text)
    except MisreadEnv as error:
        raise InvalidRequest(f"The text is not a .env file: {error}.", field="text") from None
    check_values(read)
    hidden = {name for name in read if (is_secret_name(name) if secrets is None else name in secrets) and read[name]}
    return EnvImport(
        {name: value for name, value in read.items() if name not in hidden},
        {name: SecretValue(read[name]) for name in read if name in hidden},
    )
