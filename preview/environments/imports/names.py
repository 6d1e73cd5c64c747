"""Import names and the packages that bring them, where the two differ.

Whatever is not here is asked for under its own name. A name with a point is a part of a package that several share.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

DISTRIBUTIONS: Final = {
    "Crypto": "pycryptodome",
    "Cryptodome": "pycryptodomex",
    "Levenshtein": "levenshtein",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyopenssl",
    "PIL": "pillow",
    "PyPDF2": "pypdf2",
    "aioredis": "aioredis",
    "allauth": "django-allauth",
    "apscheduler": "apscheduler",
    "argon2": "argon2-cffi",
    "attr": "attrs",
    "attrs": "attrs",
    "auditlog": "django-auditlog",
    "azure.identity": "azure-identity",
    "azure.keyvault": "azure-keyvault",
    "azure.storage.blob": "azure-storage-blob",
    "bs4": "beautifulsoup4",
    "bson": "pymongo",
    "channels": "channels",
    "ckeditor": "django-ckeditor",
    "cloudinary_storage": "django-cloudinary-storage",
    "colorfield": "django-colorfield",
    "compressor": "django-compressor",
    "constance": "django-constance",
    "corsheaders": "django-cors-headers",
    "countries_plus": "django-countries-plus",
    "crispy_bootstrap4": "crispy-bootstrap4",
    "crispy_bootstrap5": "crispy-bootstrap5",
    "crispy_forms": "django-crispy-forms",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "dbbackup": "django-dbbackup",
    "debug_toolbar": "django-debug-toolbar",
    "decouple": "python-decouple",
    "dj_rest_auth": "dj-rest-auth",
    "django_celery_beat": "django-celery-beat",
    "django_countries": "django-countries",
    "django_crontab": "django-crontab",
    "django_extensions": "django-extensions",
    "django_filters": "django-filter",
    "django_htmx": "django-htmx",
    "django_redis": "django-redis",
    "django_rq": "django-rq",
    "django_tables2": "django-tables2",
    "dns": "dnspython",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "drf_spectacular": "drf-spectacular",
    "drf_yasg": "drf-yasg",
    "easy_thumbnails": "easy-thumbnails",
    "engineio": "python-engineio",
    "environ": "django-environ",
    "faiss": "faiss-cpu",
    "fastapi_jwt_auth": "fastapi-jwt-auth",
    "fitz": "pymupdf",
    "flask_jwt": "flask-jwt",
    "flaskext.mysql": "flask-mysql",
    "flask_mysqldb": "flask-mysqldb",
    "flask_sqlalchemy": "flask-sqlalchemy",
    "github": "pygithub",
    "google.api_core": "google-api-core",
    "google.auth": "google-auth",
    "google.cloud.bigquery": "google-cloud-bigquery",
    "google.cloud.firestore": "google-cloud-firestore",
    "google.cloud.pubsub": "google-cloud-pubsub",
    "google.cloud.storage": "google-cloud-storage",
    "google.cloud.vision": "google-cloud-vision",
    "google.genai": "google-genai",
    "google.generativeai": "google-generativeai",
    "google.oauth2": "google-auth",
    "google.protobuf": "protobuf",
    "google_auth_oauthlib": "google-auth-oauthlib",
    "googleapiclient": "google-api-python-client",
    "graphene_django": "graphene-django",
    "grpc": "grpcio",
    "guardian": "django-guardian",
    "haystack": "django-haystack",
    "health_check": "django-health-check",
    "impala": "impyla",
    "import_export": "django-import-export",
    "jazzmin": "django-jazzmin",
    "jose": "python-jose",
    "jwt": "pyjwt",
    "knox": "django-rest-knox",
    "ldap": "python-ldap",
    "ldap3": "ldap3",
    "leaflet": "django-leaflet",
    "magic": "python-magic",
    "markdown": "markdown",
    "markdown2": "markdown2",
    "modeltranslation": "django-modeltranslation",
    "mptt": "django-mptt",
    "multipart": "python-multipart",
    "mysql.connector": "mysql-connector-python",
    "ninja": "django-ninja",
    "ninja_extra": "django-ninja-extra",
    "ninja_jwt": "django-ninja-jwt",
    "nacl": "pynacl",
    "oauth2_provider": "django-oauth-toolkit",
    "oauth2client": "oauth2client",
    "odmantic": "odmantic",
    "oidc_provider": "django-oidc-provider",
    "ordered_model": "django-ordered-model",
    "orjson": "orjson",
    "pgvector": "pgvector",
    "phonenumber_field": "django-phonenumber-field[phonenumberslite]",
    "phonenumbers": "phonenumbers",
    "pkg_resources": "setuptools<81",
    "playhouse": "peewee",
    "polymorphic": "django-polymorphic",
    "pptx": "python-pptx",
    "prometheus_client": "prometheus-client",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "psycopg_pool": "psycopg-pool",
    "pwa": "django-pwa",
    "pymongo": "pymongo",
    "pythonjsonlogger": "python-json-logger",
    "pywebpush": "pywebpush",
    "qrcode": "qrcode",
    "razorpay": "razorpay",
    "redis": "redis",
    "rest_auth": "django-rest-auth",
    "rest_framework": "djangorestframework",
    "rest_framework_jwt": "djangorestframework-jwt",
    "rest_framework_nested": "drf-nested-routers",
    "rest_framework_simplejwt": "djangorestframework-simplejwt",
    "rest_framework_swagger": "django-rest-swagger",
    "reversion": "django-reversion",
    "rosetta": "django-rosetta",
    "ruamel.yaml": "ruamel-yaml",
    "sendgrid": "sendgrid",
    "sentry_sdk": "sentry-sdk",
    "serial": "pyserial",
    "setuptools": "setuptools<81",
    "simple_history": "django-simple-history",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "smart_selects": "django-smart-selects",
    "snowflake.connector": "snowflake-connector-python",
    "social_django": "social-auth-app-django",
    "socketio": "python-socketio",
    "socks": "pysocks",
    "solo": "django-solo",
    "speech_recognition": "speechrecognition",
    "sse_starlette": "sse-starlette",
    "storages": "django-storages",
    "taggit": "django-taggit",
    "tailwind": "django-tailwind",
    "telegram": "python-telegram-bot",
    "tinymce": "django-tinymce",
    "tortoise": "tortoise-orm",
    "treebeard": "django-treebeard",
    "ulid": "python-ulid",
    "unfold": "django-unfold",
    "usb": "pyusb",
    "waffle": "django-waffle",
    "webpack_loader": "django-webpack-loader",
    "websocket": "websocket-client",
    "whitenoise": "whitenoise",
    "widget_tweaks": "django-widget-tweaks",
    "wtforms_alchemy": "wtforms-alchemy",
    "wtforms_sqlalchemy": "wtforms-sqlalchemy",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
}
# Names that projects give to modules of their own: a package of that name in the index is somebody else's.
OWN_NAMES: Final = frozenset(
    """api app application apps auth backend base client common conf config configs configuration constants core crud
    dashboard data database databases_config db dependencies deps dev entities env errors exceptions extensions factory
    forms handlers helper helpers home init initialize instance internal lib libs local_settings logger logging_config
    main manage middleware middlewares migrations mock model models modules my_app my_project myapp mysite myproject
    package paths pipeline plugins private prod product products project resources repository repositories requirements
    router routers routes run schema schemas scripts secret secrets_config security seed serializers server service
    services session settings setup shared shop site src start static store tasks task templates test tests tools types_
    urls user users util utility utils validators version views web wsgi asgi worker workers blueprints controllers
    controller dao domain dto features hooks infrastructure integrations interfaces jobs mixins permissions prompts
    signals storage utilities values""".split()  # noqa: SIM905  a table is better read so
)
# Packages that bring the same module, or another driver that will do.
ALTERNATIVES: Final = {
    "psycopg2-binary": ("psycopg2", "psycopg", "psycopg-binary", "psycopg2cffi"),
    "psycopg": ("psycopg-binary",),
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python"),
    "mysqlclient": ("pymysql", "mysql-connector-python"),
    "pillow": ("pillow-simd",),
    "python-multipart": ("multipart",),
    "pycryptodome": ("pycrypto",),
}
# Modules of packages that are often all that is named: saves a query.
BROUGHT_ALONG: Final = {
    "fastapi": ("starlette", "pydantic", "anyio", "typing_extensions", "pydantic_core", "annotated_types", "idna"),
    "starlette": ("anyio", "idna"),
    "flask": ("werkzeug", "jinja2", "markupsafe", "itsdangerous", "click", "blinker"),
    "django": ("asgiref", "sqlparse"),
    "djangorestframework": ("django",),
    "flask-sqlalchemy": ("sqlalchemy", "flask"),
    "flask-migrate": ("alembic", "flask_sqlalchemy", "sqlalchemy"),
    "flask-wtf": ("wtforms",),
    "sqlmodel": ("sqlalchemy", "pydantic"),
    "alembic": ("sqlalchemy", "mako"),
    "pydantic": ("pydantic_core", "typing_extensions", "annotated_types"),
    "flask-jwt-extended": ("jwt",),
    "flask-smorest": ("marshmallow", "webargs", "apispec"),
    "httpx": ("anyio", "certifi", "httpcore", "idna", "h11"),
    "requests": ("urllib3", "certifi", "idna"),
    "uvicorn": ("h11", "click"),
    "motor": ("pymongo", "bson"),
    "pymongo": ("bson", "gridfs"),
    "beanie": ("motor", "pymongo", "bson"),
    "pandas": ("numpy", "dateutil", "pytz"),
    "djangorestframework-simplejwt": ("jwt", "rest_framework"),
}
# What a name that is imported needs beside its own package: ("module", "name") -> package.
FEATURES: Final = {
    ("pydantic", "EmailStr"): "email-validator",
    ("pydantic", "NameEmail"): "email-validator",
    ("pydantic.networks", "EmailStr"): "email-validator",
    ("fastapi", "Form"): "python-multipart",
    ("fastapi", "File"): "python-multipart",
    ("fastapi", "UploadFile"): "python-multipart",
    ("fastapi.security", "OAuth2PasswordRequestForm"): "python-multipart",
    ("fastapi.security", "OAuth2PasswordRequestFormStrict"): "python-multipart",
    ("fastapi.security.oauth2", "OAuth2PasswordRequestForm"): "python-multipart",
    ("fastapi.templating", "Jinja2Templates"): "jinja2",
    ("starlette.templating", "Jinja2Templates"): "jinja2",
    ("starlette.middleware.sessions", "SessionMiddleware"): "itsdangerous",
    ("fastapi.middleware.sessions", "SessionMiddleware"): "itsdangerous",
    ("fastapi.responses", "ORJSONResponse"): "orjson",
    ("fastapi.responses", "UJSONResponse"): "ujson",
    ("fastapi.testclient", "TestClient"): "httpx",
    ("starlette.testclient", "TestClient"): "httpx",
    ("sqlalchemy.ext.asyncio", "create_async_engine"): "greenlet",
    ("sqlalchemy.ext.asyncio", "AsyncSession"): "greenlet",
    ("wtforms.validators", "Email"): "email-validator",
}
# The driver that SQLAlchemy and its like load for an address, by scheme.
DRIVERS: Final = {
    "postgresql": "psycopg2-binary",
    "postgres": "psycopg2-binary",
    "postgresql+psycopg2": "psycopg2-binary",
    "postgresql+psycopg": "psycopg[binary]",
    "postgresql+asyncpg": "asyncpg",
    "postgresql+pg8000": "pg8000",
    "mysql+pymysql": "pymysql",
    "mysql+aiomysql": "aiomysql",
    "mysql+asyncmy": "asyncmy",
    "mysql+mysqlconnector": "mysql-connector-python",
    "mysql+mysqldb": "mysqlclient",
    "mysql": "mysqlclient",
    "mariadb+mariadbconnector": "mariadb",
    "sqlite+aiosqlite": "aiosqlite",
    "django.db.backends.postgresql": "psycopg2-binary",
    "django.db.backends.postgresql_psycopg2": "psycopg2-binary",
    "django.db.backends.mysql": "mysqlclient",
}


def distribution_of(module: str) -> tuple[str, str]:
    """Return the part of a dotted name that identifies the package, and the package.

    Args:
        module: As imported, ``google.cloud.storage.blob``.
    """
    parts = module.split(".")
    for count in range(len(parts), 1, -1):
        head = ".".join(parts[:count])
        if head in DISTRIBUTIONS:
            return head, DISTRIBUTIONS[head]
    return parts[0], DISTRIBUTIONS.get(parts[0], parts[0].replace("_", "-"))


# `google.cloud.storage`: deeper names tell no packages apart.
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Offered:
    """The modules of the environment.

    Attributes:
        modules: Dotted names that can be imported, three parts deep.
        distributions: Normalised names of packages.
    """

    modules: frozenset[str]
    distributions: frozenset[str]

    def has(self, module: str, distribution: str) -> bool:
        """Return whether the module is there, or, without one, the package."""
        if module:
            return module in self.modules
        return canonicalize_name(re.split(r"[\[<>=!~ ]", distribution)[0]) in self.distributions


def read_offered(environment: Path) -> Offered:
    """Read the modules that the environment in this folder offers; call it in a thread."""
    modules: set[str] = set()
    distributions: set[str] = set()
    for folder in _site_packages(environment):
        for info in folder.glob("*.dist-info"):
            distributions.add(canonicalize_name(info.name.removesuffix(".dist-info").rpartition("-")[0]))
            try:
                record = (info / "RECORD").read_text("utf-8", "replace")
            except OSError:
                continue
            for line in record.splitlines():
                modules.update(_modules(line.partition(",")[0].strip('"')))
    return Offered(frozenset(modules), frozenset(distributions))


def _site_packages(environment: Path) -> list[Path]:
    return sorted(environment.glob("lib/python*/site-packages"))


def _modules(path: str) -> Iterator[str]:
    parts = path.split("/")
    if parts[0].endswith((".dist-info", ".data")) or parts[0] in {"..", "__pycache__", "bin"}:
        return
    *folders, name = parts
    for count in range(1, min(len(folders), _DEPTH) + 1):
        yield ".".join(folders[:count])
    if name.endswith((".py", ".so", ".pyd")) and len(folders) < _DEPTH:
        yield ".".join([*folders, name.partition(".")[0]])
