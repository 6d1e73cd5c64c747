from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import AliasChoices
from pydantic_settings import EnvSettingsSource

from preview.errors import ConfigurationError
from preview.settings import Settings, load_settings
from preview.settings_address import RedisAddress, ServerAddress, Tls, redis_address
from preview.settings_variables import GivenVariables

SECRET = "sesame-sesame-sesame-sesame-sesame-sesame"


def test_the_environment_is_read_by_documented_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREVIEW_PORT_MIN", "4000")
    monkeypatch.setenv("PREVIEW_PORT_MAX", "4001")
    monkeypatch.setenv("PREVIEW_MAX_UPTIME", "60.5")
    monkeypatch.setenv("PREVIEW_DATA_DIR", str(tmp_path))
    settings = load_settings()
    assert (settings.port_min, settings.port_max, settings.max_uptime_s, settings.data_dir) == (
        4000, 4001, 60.5, tmp_path
    )  # fmt: skip


def test_overrides_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_PORT_MIN", "4000")
    monkeypatch.setenv("PREVIEW_STARTUP_TIMEOUT", "7")
    settings = load_settings(port_min=3050, startup_timeout_s=9)
    assert (settings.port_min, settings.startup_timeout_s) == (3050, 9)


def test_names_that_are_not_ours_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_SOMEBODY_ELSES", "x")
    assert load_settings() == Settings()


def _names(field_name: str) -> list[str]:
    alias = Settings.model_fields[field_name].validation_alias
    aliases = alias.choices if isinstance(alias, AliasChoices) else []
    return [f"PREVIEW_{field_name}", *map(str, aliases)]


@pytest.mark.parametrize("write", [str.upper, str.lower])
@pytest.mark.parametrize("place", [0, -1], ids=["field's name", "alias"])
def test_variables_are_read_as_pydantic_reads_them(
    place: int, write: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of no field, empty ones, and JSON of a field with several values."""
    for number, field_name in enumerate(Settings.model_fields):
        monkeypatch.setenv(write(_names(field_name)[place]), "" if number % 7 == 0 else "1")
        if number % 3 == 0:
            monkeypatch.delenv(write(_names(field_name)[place]))
    read = GivenVariables(Settings)()
    assert len(read) > len(Settings.model_fields) / 2
    assert read == EnvSettingsSource(Settings)()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().port_min = 1  # type: ignore[misc]  # mypy knows it as well


@pytest.mark.parametrize(("ports", "said"), [("5432,389", "1024"), (",".join(map(str, range(2000, 2065))), "64")])
def test_ports_that_no_sandbox_could_listen_on_are_refused(
    monkeypatch: pytest.MonkeyPatch, ports: str, said: str
) -> None:
    monkeypatch.setenv("PREVIEW_LOOPBACK_PORTS", ports)
    with pytest.raises(ConfigurationError, match=f"PREVIEW_LOOPBACK_PORTS: .* {said}"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREVIEW_PORT_MIN", "http"),
        ("PREVIEW_PORT_MAX", "70000"),
        ("PREVIEW_MAX_UPTIME", "0"),
        ("PREVIEW_MAX_UPTIME", "inf"),
        ("PREVIEW_SESSION_TIMEOUT", "1e300"),
        ("PREVIEW_MAX_LINE_BYTES", "10"),
        ("PREVIEW_DB_TYPE", "mongodb"),
        ("PREVIEW_GENERATION_FILES", "-1"),
        ("PREVIEW_JWT_ALGORITHM", "none"),
    ],
)
def test_a_wrong_value_is_told_with_its_variable_and_what_was_given(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"^{name}: .*\(got '{value}'\)$"):
        load_settings()


@pytest.mark.parametrize("variable", ["PREVIEW_LOG_LEVEL", "PREVIEW_SERVICE_LOG_LEVEL"])
@pytest.mark.parametrize(
    ("word", "level"), [("WARN", "WARNING"), ("warn", "WARNING"), ("Warning", "WARNING"), ("debug", "DEBUG")]
)
def test_a_level_is_taken_in_both_documents_words_and_in_any_case(
    monkeypatch: pytest.MonkeyPatch, variable: str, word: str, level: str
) -> None:
    monkeypatch.setenv(variable, word)
    assert getattr(load_settings(), variable.removeprefix("PREVIEW_").lower()) == level


@pytest.mark.parametrize("word", ["WARNIN", "30", "trace"])
def test_a_word_that_is_no_level_ends_the_start(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("PREVIEW_LOG_LEVEL", word)
    with pytest.raises(ConfigurationError, match=rf"^PREVIEW_LOG_LEVEL: .*'WARNING'.*\(got '{word}'\)$"):
        load_settings()


def test_each_wrong_value_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_PORT_MIN", "a")
    monkeypatch.setenv("PREVIEW_STOP_GRACE", "b")
    with pytest.raises(ConfigurationError) as caught:
        load_settings()
    problems = caught.value.details["problems"]
    assert isinstance(problems, list)
    assert [one.partition(":")[0] for one in problems] == ["PREVIEW_PORT_MIN", "PREVIEW_STOP_GRACE"]


def test_what_was_given_is_shown_within_bounds() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(port_min="x" * 10_000)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"port_min": 4000, "port_max": 3999}, "PREVIEW_PORT_MIN"),
        ({"stop_grace_s": 8, "stop_budget_s": 8}, "PREVIEW_STOP_GRACE"),
        ({"stop_budget_s": 8, "shutdown_timeout_s": 11.9}, "PREVIEW_SHUTDOWN_TIMEOUT"),
        ({"postgres": "postgresql://u:p@h", "databases": "own"}, "PREVIEW_DATABASES=own .*PREVIEW_POSTGRES"),
        ({"jwt_algorithm": "RS256"}, "PREVIEW_JWKS_URL or PREVIEW_JWKS_FILE"),
    ],
)
def test_settings_that_contradict_each_other_are_told(values: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        load_settings(**values)
    assert "got" not in caught.value.message


@pytest.mark.parametrize("field", ["database_url", "jwt_secret"])
def test_secrets_are_not_in_what_settings_look_like(field: str) -> None:
    settings = load_settings(**{field: SECRET})
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings)
    assert SECRET not in settings.model_dump_json()


@pytest.mark.parametrize("field", ["database_url", "jwt_secret", "jwks_url"])
@pytest.mark.parametrize("given", [[SECRET], {"a": SECRET}, SECRET.encode() + b"\xff"])
def test_secrets_are_not_in_what_is_told_of_wrong_ones(field: str, given: object) -> None:
    with pytest.raises(ConfigurationError, match=f"PREVIEW_{field.upper()}") as caught:
        load_settings(**{field: given})
    assert "sesame" not in "".join(traceback.format_exception(caught.value))
    assert "sesame" not in str(caught.value.details)


def test_secrets_are_not_told_when_another_setting_is_wrong() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(jwt_secret=SECRET, database_url=f"postgresql://u:{SECRET}@h/x", port_min=5000, port_max=4000)
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


# Where things are


def test_the_database_is_a_file_in_the_data_folder_unless_told(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).resolved_database_url == f"sqlite:///{tmp_path}/preview.db"
    assert load_settings(database_url="postgresql://h/x").resolved_database_url == "postgresql://h/x"


def test_a_relative_folder_of_databases_counts_from_the_data_folder(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).resolved_db_path == tmp_path / "storage/previews"
    assert Settings(data_dir=tmp_path, db_path=Path("/srv/db")).resolved_db_path == Path("/srv/db")


@pytest.mark.parametrize("value", ["", "relative/folder"])
def test_an_xdg_folder_that_is_not_absolute_counts_as_unset(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_DATA_HOME", value)
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    settings = Settings()
    assert settings.data_dir == Path("/home/somebody/.local/share/preview")
    assert settings.cache_dir == Path("/home/somebody/.cache/preview")


def test_a_relative_folder_is_below_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PREVIEW_DATA_DIR", "two")
    monkeypatch.setenv("PREVIEW_CACHE_DIR", "cache")
    settings = Settings()
    assert (settings.data_dir, settings.cache_dir) == (tmp_path / "two", tmp_path / "cache")


def test_an_xdg_folder_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/data")
    assert Settings().data_dir == Path("/srv/data/preview")


# Tiers


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("free", ("free", 1, 3600, True, False)),
        ("pro", ("pro", 3, 4 * 3600, True, True)),
        ("enterprise", ("enterprise", 5, 8 * 3600, True, True)),
        ("platinum", ("free", 1, 3600, True, False)),
        (None, ("free", 1, 3600, True, False)),
    ],
)
def test_a_tier_has_its_limits_and_an_unknown_one_the_least(name: str | None, expected: tuple[object, ...]) -> None:
    tier = Settings().tier(name)
    found = (tier.name, tier.max_previews, tier.max_life_s, tier.websocket_logs, tier.advanced_metrics)
    assert found == expected


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    unset = load_settings()
    monkeypatch.setenv("PREVIEW_DATA_DIR", "")
    monkeypatch.setenv("PREVIEW_MAX_UPTIME", "")
    # Else the database and the secret would land in whatever folder the service is started from.
    assert load_settings() == unset


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PREVIEW_POSTGRES", "postgresql://admin:sesame@[host", "cannot be read"),
        ("PREVIEW_POSTGRES", "postgresql://admin:sesame@host:port", "cannot be read"),
        ("PREVIEW_POSTGRES", "postgresql://admin:sesame#1@host", "cannot be read"),
        ("PREVIEW_POSTGRES", "mysql://admin:sesame@host", "write auto, off or the address"),
        ("PREVIEW_POSTGRES", "postgresql://sesame@", "needs a user and one host"),
        ("PREVIEW_POSTGRES", "postgresql://admin:sesame@a,b", "needs a user and one host"),
        ("PREVIEW_POSTGRES", "postgresql://admin@host?password=sesame", "an option of the address is not known"),
        ("PREVIEW_POSTGRES", "postgresql://admin:sesame@host?sslmode=sesame", "sslmode must be one of disable, prefer"),
        ("PREVIEW_POSTGRES", "postgresql://admin:sesame@host?sslrootcert=/sesame", "names no file"),
        ("PREVIEW_MYSQL", "postgresql://admin:sesame@host", "write auto, off or the address .*: mysql://USER"),
        ("PREVIEW_MYSQL", "mysql://sesame@", "needs a user and one host: mysql://USER"),
        ("PREVIEW_REDIS", "redis://:sesame@host", "would read and delete each other's keys"),
    ],
)
def test_a_wrong_address_of_a_server_is_one_sentence_without_its_password(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"^{variable}: .*{said}") as caught:
        load_settings()
    assert "sesame" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        "redis://:sesame[b]c@host", "redis://:sesame[@host", "redis://:sesame[x@[::1]:6379", "redis://:sesame\uff1a@host",
        "redis://:sesame\u2100@host", "redis://:sesame@[::::]", "redis://:sesame@host:0", "redis://:sesame@host:99999",
        "redis://:sesame/@host", "redis://:sesame@host?x=1", "redis://:sesame@host/a", "redis://:sesame@",
        "http://:sesame@host",
    ],
)  # fmt: skip
def test_a_wrong_address_of_the_bus_is_one_sentence_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("PREVIEW_BUS_URL", url)
    with pytest.raises(
        ConfigurationError, match=r"^PREVIEW_BUS_URL is no address of Redis: write it as redis://"
    ) as caught:
        load_settings()
    assert "sesame" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ValueError, match=r"^write it as redis://"):
        redis_address(url)


def test_an_address_of_the_bus_is_read_with_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, expected in (
        ("redis://host", RedisAddress("host", 6379, False, None, None, 0)),
        ("rediss://a:s%5B%40%C3%A9@[::1]:6380/7", RedisAddress("::1", 6380, True, "a", "s[@\u00e9", 7)),
        ("redis://:a:b@host/", RedisAddress("host", 6379, False, None, "a:b", 0)),
    ):
        monkeypatch.setenv("PREVIEW_BUS_URL", url)
        load_settings()
        assert redis_address(url) == expected


def test_an_address_of_mysql_is_read_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREVIEW_MYSQL", "mariadb://admin:s%C3%A9same@db.example?sslmode=require")
    found = load_settings().mysql
    assert found == ServerAddress("db.example", 3306, "admin", "s\u00e9same", "", Tls.REQUIRED, None, is_mysql=True)
    assert "same" not in f"{found} {found!r}"
    monkeypatch.setenv("PREVIEW_MYSQL", "mysql://admin@?host=/run/mysqld/mysqld.sock")
    assert load_settings().mysql == ServerAddress("/run/mysqld/mysqld.sock", 3306, "admin", database="", is_mysql=True)


def test_an_address_of_a_server_is_read_as_libpq_reads_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREVIEW_POSTGRES", "postgres://ad%40min:s%C3%A9same@Db.example:5433/main?sslmode=verify-full")
    found = load_settings().postgres
    assert found == ServerAddress("db.example", 5433, "ad@min", "s\u00e9same", "main", Tls.HOST)
    assert "same" not in f"{found} {found!r}"
    monkeypatch.setenv("PREVIEW_POSTGRES", f"postgresql://admin@?host={tmp_path}")
    assert load_settings().postgres == ServerAddress(str(tmp_path), 5432, "admin")
