"""The documents' settings, tables and words, under their names and with their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from documents_kit import differences

from preview.settings import Settings, load_settings

DEFAULTS: dict[str, tuple[str, Any]] = {
    "PREVIEW_PORT_MIN": ("port_min", 3001),
    "PREVIEW_PORT_MAX": ("port_max", 3100),
    "PREVIEW_MAX_UPTIME": ("max_uptime_s", 3600),
    "PREVIEW_INACTIVE_TIMEOUT": ("inactive_timeout_s", 1800),
    "PREVIEW_SESSION_TIMEOUT": ("session_timeout_s", 1800),
    "PREVIEW_MAX_INSTANCES_PER_USER": ("max_instances_per_user", 1),
    "PREVIEW_STARTUP_TIMEOUT": ("startup_timeout_s", 30),
    "PREVIEW_MEMORY_LIMIT_MB": ("memory_limit_mb", 1024),
    "PREVIEW_DB_TYPE": ("db_type", "sqlite"),
    "PREVIEW_DB_PATH": ("db_path", Path("./storage/previews")),
    "PREVIEW_LOG_LEVEL": ("log_level", "ERROR"),
    "PREVIEW_MAX_LOG_LINES": ("max_log_lines", 10_000),
    "PREVIEW_CLEANUP_INTERVAL": ("cleanup_interval_s", 300),
    "PREVIEW_KEEP_ALIVE": ("keep_alive_s", 15),
    "PREVIEW_PROXY_TIMEOUT": ("proxy_timeout_s", 30),
    "PREVIEW_PROXY_BODY_BYTES": ("proxy_body_bytes", 10 * 2**20),
}
OTHERS = {
    "PREVIEW_PORT_MAX": ("4000", 4000),
    "PREVIEW_DB_TYPE": ("sqlite", "sqlite"),
    "PREVIEW_DB_PATH": ("/elsewhere", Path("/elsewhere")),
    "PREVIEW_LOG_LEVEL": ("WARN", "WARNING"),
}
# Column by the document's word.
PREVIEW_COLUMNS = {
    "id": "id",
    "generation_id": "generation_id",
    "project_id": "project_id",
    "user_id": "user_id",
    "status": "status",
    "port": "port",
    "base_url": "base_url",
    "process id": "pid",
    "created_at": "created_at",
    "started_at": "started_at",
    "stopped_at": "stopped_at",
    "expires_at": "expires_at",
    "preview token (hashed)": "token_hash",
    "its expiry": "token_expires_at",
    "last_health_check": "last_health_check",
    "health_status": "health_status",
    "error_message": "error_message",
    "exit_code": "exit_code",
    "directory": "directory",
    "log_level": "log_level",
}


@pytest.mark.parametrize("variable", DEFAULTS)
def test_a_setting_has_its_name_and_its_default(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, default = DEFAULTS[variable]
    assert getattr(Settings(), name) == default
    text, value = OTHERS.get(variable, ("77", 77))
    monkeypatch.setenv(variable, text)
    monkeypatch.setenv("PREVIEW_PORT_MIN", "77")
    assert getattr(load_settings(), name) == value


def test_the_tiers_have_one_three_and_five_previews() -> None:
    assert [Settings().tier(name).max_previews for name in ("free", "pro", "enterprise")] == [1, 3, 5]


def test_the_tables_have_the_columns_of_the_documents(sqlite_database_url: str) -> None:
    engine = sqlalchemy.create_engine(sqlite_database_url)
    found = sqlalchemy.inspect(engine)
    assert set(found.get_table_names()) >= {"preview_instances", "preview_logs", "users", "projects", "generations"}
    columns = {column["name"] for column in found.get_columns("preview_instances")}
    assert set(PREVIEW_COLUMNS.values()) - columns == set()
    lines = {column["name"] for column in found.get_columns("preview_logs")}
    assert {"preview_id", "seq", "timestamp", "level", "source", "message"} - lines == set()
    assert found.get_pk_constraint("preview_logs")["constrained_columns"] == ["preview_id", "seq"]
    # The documents' own query.
    query = "SELECT id, status, port, created_at FROM preview_instances ORDER BY created_at DESC;"
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text(query)).all() == []
    engine.dispose()


def test_a_difference_from_a_fixture_is_found() -> None:
    good = {"ticket": "t", "expires_in": 60}
    assert differences("ticket", good) == []
    assert differences("ticket", {"ticket": "t"}) == ["ticket: missing ['expires_in'], more []"]
    assert differences("ticket", good | {"more": 1}) == ["ticket: missing [], more ['more']"]
    assert differences("ticket", good | {"expires_in": "60"}) == ["ticket.expires_in: '60' is no int"]
    assert differences("ticket", good | {"expires_in": True}) == ["ticket.expires_in: True is no int"]
    line = {"timestamp": "2025-10-20T12:20:05.123Z", "level": "WARN", "message": "", "source": "preview"}
    assert differences("plan line", line) == []
    (found,) = differences("plan line", line | {"level": "WARNING"})
    assert found.startswith("plan line.level: 'WARNING' is none of")
    (found,) = differences("plan line", line | {"timestamp": "2025-10-20T12:20:05Z"})
    assert found.startswith("plan line.timestamp")
