"""Generate harmless values for required variables."""

from __future__ import annotations

import re
from typing import Final

from preview.detection.plan import ServiceKind
from preview.detection.settings.model import Kind, SettingRead

_SECRET: Final = re.compile(
    r"SECRET|PASSWORD|PASSWD|(?:^|_)PASS(?:_|$)|(?:^|_)PWD(?:_|$)|TOKEN(?!_?(?:EXPIR|LIFE|URL|TYPE|ALGO|LOCATION|PREFIX|HEADER|MIN|DAY|HOUR|SEC|TTL|ISS))"
    r"|(?:API|JWT|PRIVATE|ENCRYPTION|SIGNING|ACCESS|AUTH|APP|LICENSE|HMAC)_?KEY|SALT|CREDENTIAL|PEPPER|_KEY$|^KEY$"
)
_NO_SECRET: Final = re.compile(
    r"EXPIR|LIFETIME|_TTL|ALGORITHM|_URL$|_URI$|_ID$|MINUTES|SECONDS|HOURS|DAYS|_FILE$|_PATH$|TIMEOUT"
)
_DATABASE_URL: Final = re.compile(
    r"(?:^|_)(?:DATABASE|DB|SQLALCHEMY|POSTGRES|POSTGRESQL|PG|MYSQL|MARIADB|SQL|SQLITE)(?:_\w+)?_?"
    r"(?:URL|URI|DSN|CONN(?:ECTION)?_?STR(?:ING)?|CONNECTION)(?:_|$)|^DATABASE$|^(?:DB|DATABASE)_?(?:URL|URI|DSN)"
    r"|^SQLALCHEMY_DATABASE_UR[LI]$|^DSN$|^(?:URL|URI)_(?:DB|DATABASE)$"
)
_SERVICES: Final = (
    (ServiceKind.REDIS, re.compile(r"REDIS|CELERY_(?:BROKER|RESULT)|^BROKER_URL|CACHE_URL|RESULT_BACKEND")),
    (ServiceKind.MONGODB, re.compile(r"MONGO|ATLAS")),
    (ServiceKind.RABBITMQ, re.compile(r"RABBIT|AMQP")),
    (ServiceKind.ELASTICSEARCH, re.compile(r"ELASTIC|OPENSEARCH")),
    (ServiceKind.NATS, re.compile(r"(?:^|_)NATS(?:_|$)")),
    (ServiceKind.MQTT, re.compile(r"MQTT")),
    (ServiceKind.MYSQL, re.compile(r"MYSQL|MARIADB")),
    (ServiceKind.POSTGRESQL, re.compile(r"POSTGRES|(?:^|_)PG_?|(?:^|_)(?:DATABASE|DB|SQL)(?:_|$)")),
)
_PORTS: Final = {
    ServiceKind.REDIS: "6379",
    ServiceKind.MONGODB: "27017",
    ServiceKind.RABBITMQ: "5672",
    ServiceKind.ELASTICSEARCH: "9200",
    ServiceKind.NATS: "4222",
    ServiceKind.MQTT: "1883",
    ServiceKind.MYSQL: "3306",
    ServiceKind.POSTGRESQL: "5432",
}
_URLS: Final = {
    ServiceKind.REDIS: "redis://localhost:6379/0",
    ServiceKind.MONGODB: "mongodb://localhost:27017/preview",
    ServiceKind.RABBITMQ: "amqp://guest:guest@localhost:5672//",
    ServiceKind.ELASTICSEARCH: "http://localhost:9200",
    ServiceKind.NATS: "nats://localhost:4222",
    ServiceKind.MQTT: "mqtt://localhost:1883",
    ServiceKind.MYSQL: "mysql://root:root@localhost:3306/preview",
    ServiceKind.POSTGRESQL: "postgresql://postgres:postgres@localhost:5432/preview",
}
_DSNS: Final = {"RedisDsn": ServiceKind.REDIS, "MongoDsn": ServiceKind.MONGODB, "AmqpDsn": ServiceKind.RABBITMQ}
# Redis numbers its databases.
_NUMBERED: Final = re.compile(r"(?:_|^)(?:DB|DATABASE)(?:_?(?:NO|NUM|NUMBER|INDEX|ID))?$")
_HOST: Final = re.compile(r"(?:^|_)(?:HOST|HOSTNAME|SERVER|ADDRESS|IP)$|HOST$")
_URL: Final = re.compile(r"(?:^|_)(?:URL|URI|ENDPOINT|ORIGIN|ISSUER|DOMAIN|WEBHOOK|DSN|BROKER|BACKEND)S?$|URL$")
_LIFE: Final = re.compile(r"EXPIR|LIFETIME|TTL|MINUTES|SECONDS|HOURS|DAYS|TIMEOUT|DURATION|MAX_AGE|VALIDITY")
_ENVIRONMENT: Final = re.compile(
    r"^(?:\w+_)?(?:ENV|ENVIRONMENT|STAGE|APP_MODE|CONFIG_MODE|RUN_MODE)$|^(?:FLASK|APP|BOILERPLATE)_(?:CONFIG|ENV)$|^CONFIG_NAME$"
)
_SQLITE_FLAG: Final = re.compile(
    r"(?:^|_)(?:USE|IS|WITH|ENABLE|FORCE|ALLOW|LOCAL)_SQLITE(?:_DB|_DATABASE)?$|^USESQLITE$|^SQLITE(?:_ENABLED|_MODE)?$"
)
# A program that has a debugger waits for it.
_DEBUGGER: Final = r"DEBUGGER|DEBUGPY|PYDEVD|PTVSD|(?:REMOTE|ATTACH|PYCHARM|VSCODE|WAIT)\w*_DEBUG"
_DEVELOPMENT: Final = ("local", "development", "dev", "debug", "test", "testing", "staging", "prod", "production")


def is_debug(name: str) -> bool:
    """Return true for ``DEBUG`` and ``APP_DEBUG``, which turn on what developers want to see."""
    return re.search(r"(?:^|_)DEBUG$", name.upper()) is not None


def is_environment(name: str) -> bool:
    """Return true for a variable that names an environment: ``APP_ENV``, ``STAGE``."""
    return _ENVIRONMENT.search(name.upper()) is not None


def is_secret_name(name: str) -> bool:
    """Return true if the variable's name looks like a secret."""
    upper = name.upper()
    return bool(_SECRET.search(upper)) and not _NO_SECRET.search(upper)


def is_database_url(read: SettingRead) -> bool:
    """Return true if the variable is the URL of an SQL database, by its declared type or its name."""
    upper = read.name.upper()
    if read.kind is Kind.DATABASE:
        return True
    if read.kind not in {Kind.TEXT, Kind.URL} or re.search(r"MONGO|REDIS|FIREBASE|AMQP|ELASTIC|SUPABASE_URL", upper):
        return False
    return bool(_DATABASE_URL.search(upper)) and not upper.endswith(("_NAME", "_HOST", "_PORT", "_USER", "_PASSWORD"))


def is_sqlite_flag(name: str) -> bool:
    """Return true for ``USE_SQLITE`` and similar names, which choose SQLite instead of a server."""
    return _SQLITE_FLAG.search(name.upper()) is not None


def service_of(name: str) -> ServiceKind | None:
    """Return the kind of server that a variable's name refers to, or None."""
    upper = name.upper()
    return next((kind for kind, pattern in _SERVICES if pattern.search(upper)), None)


def make_up(read: SettingRead) -> str:
    """Return a value with which the program can start. ``{secret}`` is replaced by a random value for each preview."""
    upper = read.name.upper()
    if read.form:
        return read.form
    if read.choices:
        return _choose(read)
    match read.kind:
        case Kind.BOOLEAN:
            return "True" if is_sqlite_flag(upper) or upper in {"DEBUG", "TESTING"} else "False"
        case Kind.INTEGER | Kind.NUMBER:
            return _number(read)
        case Kind.LIST:
            return '["*"]' if "HOST" in upper else '["http://localhost"]' if _is_origin(upper) else "[]"
        case Kind.OBJECT:
            return "{}"
        case Kind.EMAIL:
            return "preview@example.com"
        case Kind.URL:
            kind = read.annotation.rstrip("?")
            return _URLS[_DSNS.get(kind, ServiceKind.POSTGRESQL)] if kind.endswith("Dsn") else _address(upper)
        case Kind.DATABASE:
            return _URLS[ServiceKind.MYSQL if "M" in read.annotation.upper()[:1] else ServiceKind.POSTGRESQL]
        case _:
            return _text(read)


def _choose(read: SettingRead) -> str:
    by_lower = {choice.lower(): choice for choice in read.choices}
    if is_sqlite_flag(read.name):
        return next((by_lower[name] for name in ("true", "1", "yes", "on") if name in by_lower), read.choices[0])
    sqlite = next((choice for choice in read.choices if "sqlite" in choice.lower()), None)
    preferred = next((by_lower[name] for name in _DEVELOPMENT if name in by_lower), None)
    if read.kind is Kind.BOOLEAN and not preferred and not sqlite:
        return "False"
    return sqlite or preferred or read.choices[0]


def _number(read: SettingRead) -> str:
    upper = read.name.upper()
    kind = service_of(upper)
    if "PORT" in upper:
        return "587" if re.search(r"MAIL|SMTP", upper) else _PORTS[kind] if kind else "{port}"
    value = 30 if _LIFE.search(upper) else 0 if upper.endswith("_DB") else 10
    return str(max(value, read.least))


def _text(read: SettingRead) -> str:
    upper = read.name.upper()
    known = _known_text(upper, service_of(upper))
    if known is None:
        known = "{secret}" if is_secret_name(upper) else _address(upper) if _URL.search(upper) else "preview"
    return known if known == "{secret}" or not read.least else known.ljust(read.least, "0")


def _known_text(upper: str, kind: ServiceKind | None) -> str | None:
    """Return the conventional value for a well-known name, or None."""
    mail = re.search(r"MAIL|SMTP", upper)
    table = (
        # Names of passlib: hashes of passwords, and which of them are old.
        (r"(?:CRYPT|HASH)\w*(?:SCHEM|ALGORITHM)", "bcrypt"),
        (r"CRYPT\w*DEPRECATED", "auto"),
        (r"ALGORITHM", "HS256"),
        # Packages for Telegram's bots check the form.
        (r"(?:TELEGRAM|(?:^|_)TG|BOT)_\w*TOKEN$|^TELEGRAM_BOT$", "1234567890:{secret}"),
        # Older clients of Supabase for Python check that a key has the form of a JSON web token.
        (r"SUPABASE_\w*(?:KEY|ROLE|TOKEN)$", "{secret}.{secret}.{secret}"),
        # Clients of AWS make a host name of it.
        (r"(?:^|_)(?:AWS|S3|SES|SNS|SQS|COGNITO|DYNAMODB)_(?:\w+_)?REGION(?:_NAME)?$", "us-east-1"),
        # Flask responds only to requests for this host name.
        (r"^SERVER_NAME$", "localhost:{port}"),
        (r"^SESSION_COOKIE_NAME$", "session"),
        (r"^SESSION_TYPE$", "filesystem"),
        (r"^BABEL_DEFAULT_LOCALE$", "en"),
        (r"ALLOWED_HOSTS$", "*"),
        # Django refuses one folder for both.
        (r"(?:^|_)STATIC_ROOT$", "staticfiles"),
        (r"(?:^|_)MEDIA_ROOT$", "media"),
        (r"(?:MAIL|SENDER|FROM|REPLY_TO)_?ADDRESS$", "preview@example.com"),
        # Clients of MQTT take the host by itself.
        (r"MQTT_?(?:BROKER|SERVER|ADDRESS)$", "localhost"),
        # Sentry rejects an invalid address at once; an empty one disables it.
        (r"SENTRY", ""),
        (r"(?:^|_)USE_(?!R)|_(?:TLS|SSL)$|^(?:ENABLE|DISABLE|IS|ALLOW)_|_ENABLED$", "False"),
        (_DEBUGGER, "False"),
        (r"^(?:\w+_)?DEBUG$", "True"),
        (r"LOG_?LEVEL", "INFO"),
        (r"^TZ$|TIME_?ZONE", "UTC"),
        (r"(?:^|_)PORT$", "587" if mail else _PORTS[kind] if kind else "{port}"),
        (r"DB_ENGINE$|DATABASE_ENGINE$|SQL_ENGINE$", "django.db.backends.sqlite3"),
        (r"^(?:\w+_)?(?:FLASK_APP)$", "app"),
    )
    for pattern, value in table:
        if re.search(pattern, upper):
            return value
    if _ENVIRONMENT.search(upper):
        return "development"
    if kind is ServiceKind.REDIS and _NUMBERED.search(upper):
        return "0"
    if kind in {ServiceKind.POSTGRESQL, ServiceKind.MYSQL} and not mail:
        return _database_part(upper, kind)
    if _HOST.search(upper):
        return "localhost"
    if _LIFE.search(upper):
        return "30"
    if mail and not is_secret_name(upper):
        return "localhost" if "SERVER" in upper and not upper.endswith("EMAIL") else "preview@example.com"
    if "EMAIL" in upper or upper.endswith("_FROM"):
        return "preview@example.com"
    return _URLS[kind] if kind and _URL.search(upper) else None


def _database_part(upper: str, kind: ServiceKind) -> str | None:
    if _HOST.search(upper):
        return "localhost"
    if re.search(r"USER|PASS|PWD", upper):
        return "postgres" if kind is ServiceKind.POSTGRESQL else "root"
    if re.search(r"(?:NAME|_DB|DATABASE|SCHEMA)$", upper):
        return "preview"
    return _URLS[kind] if _URL.search(upper) else None


def _is_origin(upper: str) -> bool:
    return bool(re.search(r"ORIGIN|CORS|URL", upper))


def _address(upper: str) -> str:
    kind = service_of(upper)
    if kind is not None:
        return _URLS[kind]
    return "localhost" if upper.endswith("DOMAIN") else "http://localhost"
