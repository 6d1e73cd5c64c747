"""Secrets in files: ``PREVIEW_JWT_SECRET_FILE`` in place of ``PREVIEW_JWT_SECRET``, for containers and systemd.

A variable is shown by ``docker inspect`` and inherited by programs; a file with mode 0400 is neither. Docker,
Kubernetes and systemd (``LoadCredential``) provide secrets as files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Mapping

from preview.core.env_file import EnvFile
from preview.core.portable import O_NONBLOCK
from preview.core.quoting import quoted
from preview.errors import ConfigurationError

__all__ = ["SECRET_FIELDS", "secrets_in_files"]

# Fields of ``Settings`` that have a password, a key, or an address that may contain one.
SECRET_FIELDS = (
    *(
        "bus_url",
        "cluster_secret",
        "database_url",
        "jwks_url",
        "jwt_secret",
        "log_shipping",
        "mongodb",
        "mysql",
        "oidc_client_secret",
        "otlp_headers",
    ),
    *("postgres", "sealing_keys"),
)
# The longest of them is a list of 16 keys.
_MAX_BYTES = 64 * 1024


def secrets_in_files(env_file: EnvFile | None, given: Collection[str]) -> dict[str, str]:
    """Return the secrets whose variables name files, by field name. The environment overrides ``env_file``.

    Args:
        env_file: The operator's ``.env`` file.
        given: Fields whose values are known; their files are not read.

    Raises:
        ConfigurationError: A secret and its file are both set, or a file cannot be read.
    """
    environment = {name.upper(): value for name, value in os.environ.items() if value}
    sources = (environment, {} if env_file is None else env_file.values)
    found = {}
    for field in SECRET_FIELDS:
        variable = f"PREVIEW_{field.upper()}"
        path = _path(variable, sources)
        if path is not None and field not in given:
            text = _read(f"{variable}_FILE", path)
            # One key a line, as in the data folder's own file.
            found[field] = text.replace("\n", ",") if field == "sealing_keys" else text
    return found


def _path(variable: str, sources: tuple[Mapping[str, str], ...]) -> str | None:
    """Return the file's path from the first source that sets the secret or its file."""
    for source in sources:
        path = source.get(f"{variable}_FILE")
        if not source.get(variable):
            if path:
                return path
        elif path:
            raise ConfigurationError(f"{variable} and {variable}_FILE are both set; keep one.")
        else:
            return None
    return None


def _read(variable: str, path: str) -> str:
    try:
        # Non-blocking, so that opening a FIFO does not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _unusable(variable, path, "is not a regular file")
            content = os.read(descriptor, _MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unusable(variable, path, f"cannot be read ({error.strerror})") from error
    if len(content) > _MAX_BYTES:
        raise _unusable(variable, path, f"is longer than {_MAX_BYTES // 1024} KiB")
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        # Without the cause, which repeats the content.
        raise _unusable(variable, path, "is not UTF-8 text") from None
    if not text or "\0" in text:
        raise _unusable(variable, path, "is empty" if not text else "has a NUL character")
    return text


def _unusable(variable: str, path: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{variable}: the file {quoted(path, 200)} {what}; name a text file that this user can read."
    )
