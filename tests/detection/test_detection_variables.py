"""Variables that the source reads, and the values that they get."""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from detection_kit import FASTAPI, MANAGE, plan_of, values_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preview.detection import Origin, describe_plan, detect
from preview.errors import PreviewError
from preview.supervisor.launch.variables import filled_value, keep_made_up, secret_values

PYDANTIC = (
    "from pydantic_settings import BaseSettings, SettingsConfigDict\nfrom pydantic import *\nfrom typing import *\n"
)


def values(folder: Path, text: str, **files: str) -> dict[str, str]:
    return values_of(plan_of(folder, {"main.py": "import os\n" + text + FASTAPI, **files}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('KEY = os.environ.get("SECRET_KEY", "")\n', {"SECRET_KEY": "{secret}"}),
        ('KEY = os.getenv("DJANGO_SECRET_KEY", default="")\n', {"DJANGO_SECRET_KEY": "{secret}"}),
        (PYDANTIC + 'class S(BaseSettings):\n    JWT_SECRET_KEY: str = ""\n', {"JWT_SECRET_KEY": "{secret}"}),
        # Without one, the program does without what it is for.
        ('KEY = os.getenv("WEBHOOK_SECRET", "")\n', {}),
        ('KEY = os.environ.get("SECRET_KEY", "of my own")\n', {}),
    ],
)
def test_a_signing_key_with_an_empty_default_is_made(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    assert values(tmp_path, text) == expected


def test_settings_of_frameworks_that_may_not_be_none_get_a_value(tmp_path: Path) -> None:
    names = ("SESSION_COOKIE_NAME", "SESSION_TYPE", "BABEL_DEFAULT_LOCALE", "SESSION_COOKIE_DOMAIN")
    lines = "".join(f"    {name} = os.environ.get({name!r})\n" for name in names)
    assert values(tmp_path, f"class Config:\n{lines}", **{".env.example": "SESSION_TYPE=redis\n"}) == {
        "SESSION_COOKIE_NAME": "session",
        "SESSION_TYPE": "redis",
        "BABEL_DEFAULT_LOCALE": "en",
    }


@pytest.mark.parametrize(
    ("text", "example", "value"),
    [
        ('print(os.environ["DEBUG"])\n', "", "True"),
        ('import debugpy\nif os.environ["DEBUG"]: debugpy.wait_for_client()\n', "", "False"),
        ('import debugpy\nif os.getenv("DEBUG"): debugpy.wait_for_client()\n', "DEBUG=True\n", "False"),
    ],
)
def test_no_placeholder_makes_a_program_wait_for_a_debugger(
    tmp_path: Path, text: str, example: str, value: str
) -> None:
    assert values(tmp_path, text, **{".env.example": example})["DEBUG"] == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('os.environ["X"]', "preview"),
        ('int(os.environ["X"])', "10"),
        ('int(os.getenv("X"))', "10"),
        ('os.getenv("X").split(",")', "preview"),
        ('os.getenv("X") + "/x"', "preview"),
        ('os.environ["X_PORT"]', "{port}"),
        ('os.environ["REMOTE_DEBUG"]', "False"),
        ('os.environ["SECRET_KEY"]', "{secret}"),
        ('os.environ["JWT_ALGORITHM"]', "HS256"),
        ('os.environ["PASSWORD_HASH_ALGORITHM"]', "bcrypt"),
        ('os.environ["CRYPT_CONTEXT_SCHEMA"]', "bcrypt"),
        ('os.environ["CRYPT_CONTEXT_DEPRECATED"]', "auto"),
        ('os.environ["APP_ENV"]', "development"),
        ('os.environ["REDIS_URL"]', "redis://localhost:6379/0"),
        ('os.environ["MAIL_FROM"]', "preview@example.com"),
        ('os.environ["API_BASE_URL"]', "http://localhost"),
        ('int(os.environ["TOKEN_EXPIRE_MINUTES"])', "30"),
        ('os.environ["DB_HOST"]', "localhost"),
        ('os.environ["POSTGRES_PORT"]', "5432"),
        ('os.getenv("SECRET_KEY")', "{secret}"),
        ('os.environ["EMAIL_USE_TLS"]', "False"),
        ('os.environ["SENTRY_DSN"]', ""),
        ('os.environ["PASSWORD_RESET_TIMEOUT"]', "30"),
        ('os.environ["SERVER_EMAIL"]', "preview@example.com"),
        ('os.environ["GMAIL_ADDRESS"]', "preview@example.com"),
    ],
)
def test_what_the_program_cannot_do_without_gets_a_value(tmp_path: Path, text: str, value: str) -> None:
    assert list(values(tmp_path, f"x = {text}\n").values()) == [value]


@pytest.mark.parametrize(
    ("text", "is_demanded"),
    [
        ('if os.environ["ENVIRONMENT"] == "development":\n    pass\n', True),
        ('x = 1 if os.environ["ENVIRONMENT"] == "development" else 2\n', True),
        ('if "ENVIRONMENT" in os.environ and os.environ["ENVIRONMENT"] == "development":\n    pass\n', False),
        ('if os.environ.get("ENVIRONMENT"):\n    x = os.environ["ENVIRONMENT"]\n', False),
    ],
)
def test_a_condition_that_reads_a_variable_demands_it(tmp_path: Path, text: str, is_demanded: bool) -> None:
    assert values(tmp_path, text) == ({"ENVIRONMENT": "development"} if is_demanded else {})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('KEY = "TAX_CODE"\nx = os.environ[KEY]\n', ["TAX_CODE"]),
        ("from names import Names\nx = os.environ[Names.TAX.value]\n", ["TAX_CODE"]),
        ("import names\nx = os.environ[names.Names.TAX]\n", ["TAX_CODE"]),
        ("from names import Names\nx = os.environ[Names.OTHER.value]\n", []),
        ("def read(key):\n    return os.environ[key]\n", []),
    ],
)
def test_variables_have_their_names_from_the_project_s_own(tmp_path: Path, text: str, names: list[str]) -> None:
    own = 'from enum import Enum\n\n\nclass Names(Enum):\n    TAX = "TAX_CODE"\n    OTHER = 7\n'
    assert list(values(tmp_path, text, **{"names.py": own})) == names


@pytest.mark.parametrize(
    "text",
    [
        'os.getenv("X")',
        'os.environ.get("X", "1")',
        'os.getenv("X") or "1"',
        'int(os.getenv("X", 5))',
        'int(os.environ.get("X") or 25)',
        'os.environ["X"] if "X" in os.environ else None',
        'request.environ["HTTP_X"]',
        'environ["REQUEST_METHOD"]',
        'environ["wsgi.input"]',
        'os.environ["PORT"]',
        'os.getenv("GITHUB_CLIENT_SECRET")',
    ],
)
def test_what_it_can_do_without_gets_none(tmp_path: Path, text: str) -> None:
    assert values(tmp_path, f"x = {text}\n") == {}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('x = os.getenv("X", "1"), os.getenv("Y", None), os.getenv("Z") or 9 * 9, os.getenv("V") or None', {"X", "Z"}),
        ('try:\n    x = os.environ["X"]\nexcept KeyError:\n    x = ""\nos.environ["Y"]', {"X"}),
        ('x = os.getenv("X", "1"), os.getenv("X"), os.environ["Y"]', set()),
        ('os.getenv("x-y", 1)', set()),
    ],
)
def test_the_plan_knows_which_variables_have_a_default(tmp_path: Path, text: str, names: set[str]) -> None:
    plan = plan_of(tmp_path, {"main.py": f"import os\n{text}\n{FASTAPI}"})
    assert plan.defaulted == names


def test_what_a_try_goes_on_without_gets_none(tmp_path: Path) -> None:
    assert values(tmp_path, 'try:\n    x = os.environ["X"]\nexcept KeyError:\n    x = ""\n') == {}


def test_what_the_file_sets_itself_gets_none(tmp_path: Path) -> None:
    assert values(tmp_path, 'os.environ.setdefault("X", "1")\nx = os.environ["X"]\n') == {}


@pytest.mark.parametrize("test", ["not x", "x is None", 'x == ""', "not all([x, y])", "len(x) < 8"])
def test_what_is_refused_when_empty_is_needed(tmp_path: Path, test: str) -> None:
    assert values(tmp_path, f'x = os.getenv("X")\nif {test}:\n    raise ValueError\n') == {"X": "preview"}


@pytest.mark.parametrize(("default", "found"), [("None", {"X": "preview"}), ("''", {"X": "preview"}), ("'a'", {})])
def test_an_empty_default_that_is_refused_is_none(tmp_path: Path, default: str, found: dict[str, str]) -> None:
    assert values(tmp_path, f'x = os.getenv("X", {default})\nif x == None:\n    os._exit(0)\n') == found


@pytest.mark.parametrize(
    "statement",
    [
        "if not os.getenv('X'):\n    raise Exception('X is not set properly')\n",
        "if not all([os.getenv('X'), os.getenv('X')]):\n    raise ValueError\n",
        "if os.environ.get('X') is None:\n    exit(1)\n",
        "assert os.getenv('X'), 'no X'\n",
    ],
)
def test_what_is_refused_where_it_is_read_is_needed(tmp_path: Path, statement: str) -> None:
    assert values(tmp_path, statement) == {"X": "preview"}


@pytest.mark.parametrize("value", ["'off'", "'off', 'on'"])
def test_a_value_that_is_refused_where_it_is_read_makes_no_variable_needed(tmp_path: Path, value: str) -> None:
    read, _, default = value.partition(", ")
    test = f"os.getenv('X'{', ' + default if default else ''}) == {read}"
    assert values(tmp_path, f"if {test}:\n    raise SystemExit\n") == {}


def test_what_is_only_asked_about_is_not_needed(tmp_path: Path) -> None:
    assert values(tmp_path, "if not os.getenv('X'):\n    print('no X')\n") == {}


def test_a_projects_own_helper_is_seen_through(tmp_path: Path) -> None:
    helper = "import os\ndef need(name):\n    return os.environ[name]\n"
    assert values(tmp_path, 'from conf import need\nx = need("X")\n', **{"conf.py": helper}) == {"X": "preview"}


def test_decouple_is_read(tmp_path: Path) -> None:
    text = 'from decouple import config, Csv\na = config("A", cast=int)\nb = config("B", default=1)\n'
    text += 'c = config("C", cast=Csv())\n'
    assert values(tmp_path, text) == {"A": "10", "C": "preview"}


def test_environs_and_django_environ_are_read(tmp_path: Path) -> None:
    text = "import environ\nenv = environ.Env(DEBUG=(bool, False), N=(int, 3))\n"
    text += 'a = env.int("A")\nd = env("DEBUG")\nb = env.bool("B")\nc = env.str("C", default="x")\n'
    assert values(tmp_path, text) == {"A": "10", "B": "False"}


def test_starlettes_config_is_read(tmp_path: Path) -> None:
    text = 'from starlette.config import Config\nconfig = Config(".env")\na = config("A")\n'
    text += 'b = config("B", cast=bool, default=False)\n'
    assert values(tmp_path, text) == {"A": "preview"}


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("x: str", "preview"),
        ("x: int", "10"),
        ("x: bool", "False"),
        ("x: list[str]", "[]"),
        ("x: EmailStr", "preview@example.com"),
        ("x: AnyHttpUrl", "http://localhost"),
        ("x: RedisDsn", "redis://localhost:6379/0"),
        ("x: dict[str, int]", "{}"),
        ('x: Literal["prod", "dev"]', "dev"),
        ("x: int = Field(ge=50)", "50"),
        ("x: str = Field(..., min_length=20)", "preview0000000000000"),
        ("x: Annotated[str, Field(min_length=8)]", "preview0"),
        ("x: str | None", ""),
        ("x: 'int'", "10"),
        ("x: str = None", "preview"),
        ("x: int = Field(None)", "10"),
    ],
)
def test_a_field_without_a_default_gets_a_value_of_its_type(tmp_path: Path, declared: str, value: str) -> None:
    assert values(tmp_path, f"{PYDANTIC}class S(BaseSettings):\n    {declared}\n") == {"X": value}


@pytest.mark.parametrize(
    "declared",
    [
        "x: str = 'a'",
        "x: Optional[str] = None",
        "x: Any = None",
        "x: int = Field(3)",
        "x: list = Field(default_factory=list)",
        "x: ClassVar[int]",
    ],
)
def test_a_field_with_a_default_keeps_it(tmp_path: Path, declared: str) -> None:
    assert values(tmp_path, f"{PYDANTIC}class S(BaseSettings):\n    {declared}\n") == {}


def test_a_secret_that_is_left_empty_gets_a_value_and_an_api_key_does_not(tmp_path: Path) -> None:
    declared = "jwt_secret_key: str | None = None\n    openai_api_key: str | None = None\n    secret: str = 'mine'"
    made = values(tmp_path, f"{PYDANTIC}class S(BaseSettings):\n    {declared}\n")
    assert list(made) == ["JWT_SECRET_KEY"]


def test_prefixes_aliases_and_nested_models_name_the_variable(tmp_path: Path) -> None:
    text = f"""{PYDANTIC}
class Inner(BaseModel):
    a: int
class S(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="APP_", env_nested_delimiter="__")
    one: int
    two: int = Field(validation_alias="SECOND")
    three: int = Field(alias=AliasChoices("THIRD", "T"))
    inner: Inner
"""
    assert set(values(tmp_path, text)) == {"APP_ONE", "SECOND", "THIRD", "APP_INNER__A"}


def test_letters_keep_their_case_where_it_counts(tmp_path: Path) -> None:
    text = f"{PYDANTIC}class S(BaseSettings):\n    one: int\n    class Config:\n        case_sensitive = True\n"
    assert set(values(tmp_path, text)) == {"one"}


def test_fields_are_inherited_across_files(tmp_path: Path) -> None:
    base = f"{PYDANTIC}class Base(BaseSettings):\n    a: int\n"
    text = "from base import Base\nclass S(Base):\n    b: int\n"
    assert set(values(tmp_path, text, **{"base.py": base})) == {"A", "B"}


def test_only_files_that_the_application_loads_count(tmp_path: Path) -> None:
    assert values(tmp_path, "", **{"tool.py": 'import os\nx = os.environ["TOOL"]\n'}) == {}


def test_an_example_files_value_is_taken(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, {"main.py": 'import os\nx = os.environ["X"]\n' + FASTAPI, ".env.example": 'X="shop" # a\n'}
    )
    assert (plan.variables["X"].value, plan.variables["X"].origin) == ("shop", Origin.EXAMPLE)


@pytest.mark.parametrize(
    "value",
    [
        *("", "changeme", "<your key>", "your_secret_key_here", "YourKey", "choose_a_key", "xxxx", "...", "TODO"),
        *("CAMBIAR_EN_PRODUCCION", "PEGAR_PRIMARY_KEY_AQUI", "troque-esta-chave", "sua_chave_aqui"),
    ],
)
def test_a_placeholder_is_no_value(tmp_path: Path, value: str) -> None:
    assert values(tmp_path, 'x = os.environ["SECRET_KEY"]\n', **{".env.example": f"SECRET_KEY={value}\n"}) == {
        "SECRET_KEY": "{secret}"
    }


def test_an_address_of_nobody_is_no_value(tmp_path: Path) -> None:
    text = 'x = os.environ["MAIL_FROM"]\n'
    for value in ("YourEmail", "yourname@gmail.com", "your.name@gmail.com"):
        assert values(tmp_path, text, **{".env.example": f"MAIL_FROM={value}\n"}) == {
            "MAIL_FROM": "preview@example.com"
        }
    assert values(tmp_path, text, **{".env.example": "MAIL_FROM=a@yours.org\n"}) == {"MAIL_FROM": "a@yours.org"}


@pytest.mark.parametrize("name", ["REDIS_DB", "CACHE_REDIS_DATABASE", "REDIS_DB_INDEX"])
def test_a_database_of_redis_is_a_number(tmp_path: Path, name: str) -> None:
    assert values(tmp_path, f"{PYDANTIC}class S(BaseSettings):\n    {name}: str\n")[name] == "0"


@pytest.mark.parametrize("value", ['["http://localhost", "http://127.0.0.1:8000"]', "[]", '["*"]', "[1, 2]"])
def test_a_list_is_a_value(tmp_path: Path, value: str) -> None:
    text = f"{PYDANTIC}class S(BaseSettings):\n    origins: list[str]\n"
    assert values(tmp_path, text, **{".env.example": f"ORIGINS='{value}'\n"}) == {"ORIGINS": value}


@pytest.mark.parametrize("value", ["[your origins]", '["<your origin>"]', '["changeme", "..."]'])
def test_a_list_of_placeholders_is_none(tmp_path: Path, value: str) -> None:
    text = f"{PYDANTIC}class S(BaseSettings):\n    origins: list[str]\n"
    assert values(tmp_path, text, **{".env.example": f"ORIGINS='{value}'\n"}) == {"ORIGINS": '["http://localhost"]'}


def test_a_value_of_a_wrong_type_is_none(tmp_path: Path) -> None:
    assert values(tmp_path, 'x = int(os.environ["N"])\n', **{"env.sample": "N=many\n"}) == {"N": "10"}


def test_a_server_of_a_container_beside_it_is_looked_for_here(tmp_path: Path) -> None:
    text = 'x = os.environ["REDIS_URL"]\n'
    assert values(tmp_path, text, **{".env.example": "REDIS_URL=redis://cache:6379/1\n"}) == {
        "REDIS_URL": "redis://localhost:6379/1"
    }


def test_the_projects_own_env_file_wins(tmp_path: Path) -> None:
    files = {".env": "X=own\n", ".env.example": "X=example\n"}
    assert values(tmp_path, 'x = os.environ["X"]\n', **files) == {"X": "own"}


def test_an_env_files_references_are_filled_in_from_the_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_SERVICE", "hidden")
    files = {".env": "A=1\nX=${A}-${OF_THE_SERVICE}-${B:-2}\n"}
    assert values(tmp_path, 'x = os.environ["X"]\n', **files) == {"X": "1--2"}


def test_a_variable_that_names_a_class_gets_one_of_the_projects(tmp_path: Path) -> None:
    config = "class Config: ...\nclass ProductionConfig(Config): ...\nclass DevelopmentConfig(Config): ...\n"
    text = 'x = os.environ["APP_SETTINGS"]\n'
    assert values(tmp_path, text, **{"pkg/config.py": config}) == {"APP_SETTINGS": "pkg.config.DevelopmentConfig"}


def test_secrets_are_never_described(tmp_path: Path) -> None:
    text = 'import os\nx = os.environ["API_KEY"]\n' + FASTAPI
    plan = plan_of(tmp_path, {"main.py": text, ".env": "API_KEY=hidden-value\n"})
    assert "hidden-value" not in str(describe_plan(plan))
    assert plan.variables["API_KEY"].secret


def test_a_log_level_of_other_words_gets_one_of_its_own(tmp_path: Path) -> None:
    text = f'{PYDANTIC}class S(BaseSettings):\n    LOG_LEVEL: Literal["debug", "error"] = "debug"\n'
    plan = plan_of(tmp_path, {"main.py": text + FASTAPI})
    assert (plan.variables["LOG_LEVEL"].value, plan.variables["LOG_LEVEL"].origin) == ("error", Origin.SUPPLIED)


def test_django_settings_that_are_not_used_want_nothing(tmp_path: Path) -> None:
    files = {"manage.py": MANAGE, "shop/__init__.py": "", "shop/urls.py": "urlpatterns = []\n"}
    files["shop/settings.py"] = 'import os\nROOT_URLCONF = "shop.urls"\nSECRET_KEY = os.environ["SECRET_KEY"]\n'
    files["shop/production_settings.py"] = 'import os\nX = os.environ["ONLY_THERE"]\n'
    assert set(values_of(plan_of(tmp_path, files))) == {"SECRET_KEY"}


PIECES = st.lists(
    st.sampled_from(
        ['os.environ["A"]', "os.getenv(", "int(", "class S(BaseSettings):\n    x: int\n", "x = ", "\n",
         "Field(..., env=", "env(", "if not x:\n    raise E\n", "config('X', ", ")",
         '"postgresql://{a}@', "create_engine(", "[", "]",
         "\x00", "é", "DATABASES = {",
         "'ENGINE': ", "}", "def f(a, b=1):\n    ", "return ", "@app.on_event('startup')\n", "await ", "f'{x}'"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=PIECES | st.text(max_size=200), env=st.text(max_size=100), toml=st.text(max_size=60))
def test_any_text_is_decided_or_refused_in_a_sentence(tmp_path: Path, text: str, env: str, toml: str) -> None:
    files = {"main.py": FASTAPI + "import os\nfrom pydantic_settings import BaseSettings\n", "conf.py": text}
    for name, content in {**files, ".env.example": env, "Procfile": env, "preview.toml": toml}.items():
        (tmp_path / name).write_bytes(content.encode("utf-8", "replace"))
    (tmp_path / "main.py").write_bytes((files["main.py"] + "import conf\n").encode() + text.encode("utf-8", "replace"))
    with contextlib.suppress(PreviewError):
        describe_plan(detect(tmp_path))


def test_an_env_file_that_is_none_is_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    values(tmp_path, "", **{".env": "\x01 = = ;\nA=1\n'\n"})
    assert caplog.records == []


def test_a_reader_that_comes_with_a_star_import_is_known(tmp_path: Path) -> None:
    files = {
        "manage.py": MANAGE,
        "shop/__init__.py": "",
        "shop/base.py": "import environ\nenv = environ.Env()\nSECRET_KEY = env('SECRET_KEY')\n",
        "shop/settings.py": "from .base import *\nALLOWED_HOSTS = [env('ALLOWED_HOSTS')]\nROOT_URLCONF = 'shop.urls'\n",
    }
    assert values_of(plan_of(tmp_path, files))["ALLOWED_HOSTS"] == "*"


@pytest.mark.parametrize(
    ("read", "files", "expected"),
    [
        ('os.getenv("APP_ENV")', ("config/development.py", "config/production.py"), "development"),
        ('os.environ.get("STAGE")', ("settings/dev.yaml",), "dev"),
        ('os.getenv("APP_ENV")', ("config/main.py",), None),
        ('os.getenv("APP_ENV", "main")', ("config/development.py",), None),
        ('os.getenv("APP_NAME")', ("config/development.py",), None),
    ],
)
def test_an_environment_that_names_a_file_gets_one_of_the_project_s(
    tmp_path: Path, read: str, files: tuple[str, ...], expected: str | None
) -> None:
    text = f"import os\nopen(f'config/{{{read}}}.py')\n{FASTAPI}"
    values = values_of(plan_of(tmp_path, {"main.py": text, **dict.fromkeys(files, "")}))
    assert next((value for name, value in values.items() if name in {"APP_ENV", "STAGE"}), None) == expected


HELPER_CLASS = """
import os
class Config:
    def __init__(self):
        self.SECRET_KEY = self.get_env_var(key="SECRET_KEY")
        self.LIFE = self.get_env_var("TOKEN_MINUTES")
        self.MODE = self.get("MODE")
    def get_env_var(self, key: str):
        val = os.getenv(key=key)
        if val is None:
            raise TypeError(f"{key} is not there")
        return val
    def get(self, name):
        return os.environ[name]
class Other:
    @staticmethod
    def need(name): return os.environ[name]
Other.need("STATIC_KEY")
{}.get("NOTHING")
"""


def test_methods_that_read_variables_are_followed(tmp_path: Path) -> None:
    values = values_of(plan_of(tmp_path, {"main.py": HELPER_CLASS + FASTAPI}))
    assert set(values) == {"SECRET_KEY", "TOKEN_MINUTES", "MODE", "STATIC_KEY"}


@pytest.mark.parametrize("file", ["environments/development.env", "envs/dev.env", "dev.env", "envs/.env.local"])
def test_an_environment_s_own_file_of_variables_is_an_example(tmp_path: Path, file: str) -> None:
    text = 'import os\nopen(os.environ["REGION"])\nDB_LOCATION = os.getenv("DB_LOCATION")\n' + FASTAPI
    values = "export REGION='north'\nexport DB_LOCATION='sqlite+aiosqlite:///test.db'\n"
    plan = plan_of(tmp_path, {"main.py": text, file: values})
    assert values_of(plan) == {"REGION": "north", "DB_LOCATION": "sqlite+aiosqlite:///test.db"}
    assert plan.variables["REGION"].origin is Origin.EXAMPLE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Fernet(os.environ["ENCRYPTION_KEY"])', "{secret_base64}"),
        ('ENCRYPTION_KEY = os.getenv("ENCRYPTION_KEY")\nbox = Fernet(ENCRYPTION_KEY.encode())', "{secret_base64}"),
        ('key = os.environ["DATA_KEY"].encode()\nbox = Fernet(key)', "{secret_base64}"),
        ('key = base64.urlsafe_b64decode(os.environ["DATA_KEY"])', "{secret_base64}"),
        ('FERNET_SECRET = os.environ["FERNET_SECRET"]', "{secret_base64}"),
        ('FIELD_ENCRYPTION_KEY = os.getenv("FIELD_ENCRYPTION_KEY", "")', "{secret_base64}"),
        ('DATA_KEY = os.environ["DATA_KEY"]\nAES.new(DATA_KEY.encode(), AES.MODE_CBC)', "{secret_32}"),
        ('AESGCM(bytes.fromhex(os.environ["DATA_KEY"]))', "{secret}"),
        ('DATA_KEY = os.environ["DATA_KEY"]\nbox = Fernet(Fernet.generate_key())', "{secret}"),
    ],
)
def test_a_key_has_the_form_that_the_code_needs(tmp_path: Path, text: str, value: str) -> None:
    assert list(values(tmp_path, f"{text}\n").values()) == [value]


def test_an_example_s_key_of_another_form_is_no_value(tmp_path: Path) -> None:
    text = 'box = Fernet(os.environ["ENCRYPTION_KEY"])\n'
    for example, taken in (("my-32-byte-key", "{secret_base64}"), ("a" * 43 + "=", "a" * 43 + "=")):
        assert values(tmp_path, text, **{".env.example": f"ENCRYPTION_KEY={example}\n"}) == {"ENCRYPTION_KEY": taken}


def test_generated_keys_are_valid_and_hidden(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, {"main.py": f"import os\nFernet(os.environ['A_KEY'])\nAES.new(os.environ['B_KEY'])\n{FASTAPI}"}
    )
    filled = {name: filled_value(one.value, {}) for name, one in plan.variables.items()}
    Fernet(filled["A_KEY"])
    assert base64.b64decode(filled["A_KEY"]) == base64.urlsafe_b64decode(filled["A_KEY"])
    assert len(filled["B_KEY"]) == 32
    assert secret_values(plan, filled) == [filled["A_KEY"], filled["B_KEY"]]
    assert keep_made_up(plan, {"A_KEY": "new", "B_KEY": "new"}, plan, filled) == filled


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('known = dotenv_values()\nSECRET_KEY = known.get("secret")\n', {"secret": "{secret}"}),
        ('known = dotenv_values(".env")\nprint(known["SHOP_NAME"])\n', {"SHOP_NAME": "preview"}),
        ('known = {**dotenv_values(), **os.environ}\nprint(known["SHOP_NAME"])\n', {"SHOP_NAME": "preview"}),
        ('known = {"SHOP_NAME": "a"}\nprint(known["SHOP_NAME"])\n', {}),
    ],
)
def test_values_of_the_file_are_read_by_name(tmp_path: Path, text: str, found: dict[str, str]) -> None:
    names = values(tmp_path, f"from dotenv import dotenv_values\n{text}")
    assert {name: value for name, value in names.items() if name in {"secret", "SHOP_NAME"}} == found


@pytest.mark.parametrize("name", ["BOT_TOKEN", "TELEGRAM_TOKEN", "TG_BOT_TOKEN"])
def test_a_made_up_token_of_a_telegram_bot_has_its_form(tmp_path: Path, name: str) -> None:
    plan = plan_of(tmp_path, {"main.py": f"import os\ntoken = os.environ['{name}']\n" + FASTAPI})
    assert plan.variables[name].value == "1234567890:{secret}"


@pytest.mark.parametrize("name", ["SUPABASE_KEY", "SUPABASE_SERVICE_ROLE_KEY", "NEXT_PUBLIC_SUPABASE_ANON_KEY"])
def test_a_made_up_key_of_supabase_has_the_form_of_a_token(tmp_path: Path, name: str) -> None:
    plan = plan_of(tmp_path, {"main.py": f"import os\nkey = os.environ['{name}']\n" + FASTAPI})
    assert plan.variables[name].value == "{secret}.{secret}.{secret}"
    assert plan.variables[name].secret


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_S3_REGION_NAME", "S3_REGION", "COGNITO_REGION"])
def test_a_made_up_region_of_aws_is_one(tmp_path: Path, name: str) -> None:
    plan = plan_of(tmp_path, {"main.py": f"import os\nregion = os.environ['{name}']\n" + FASTAPI})
    assert plan.variables[name].value == "us-east-1"


@pytest.mark.parametrize("default", ["'CHANGE_ME_IN_ENV'", "SecretStr('CHANGE_ME_IN_ENV')"])
def test_a_default_that_the_settings_own_check_refuses_is_none(tmp_path: Path, default: str) -> None:
    text = (
        "from pydantic import SecretStr, field_validator\nfrom pydantic_settings import BaseSettings\n"
        f"class Settings(BaseSettings):\n    shop_label: SecretStr = {default}\n"
        "    other_label: str = 'CHANGE_ME_LATER'\n"
        "    @field_validator('shop_label')\n    def check(cls, value):\n"
        "        if value == 'CHANGE_ME_IN_ENV': raise ValueError('set it')\n        return value\n"
        "settings = Settings()\n"
    )
    plan = plan_of(tmp_path, {"main.py": FASTAPI + "import conf\n", "conf.py": text})
    assert "SHOP_LABEL" in plan.variables
    assert "CHANGE" not in plan.variables["SHOP_LABEL"].value
    assert "OTHER_LABEL" not in plan.variables


def test_the_files_of_a_local_environment_have_values_except_of_a_container(tmp_path: Path) -> None:
    code = 'import os\nx = os.environ["SHOP_NAME"], os.environ["USE_DOCKER"]\n' + FASTAPI
    local = {".envs/.local/.django": "SHOP_NAME=books\nUSE_DOCKER=yes\n", ".envs/.production/.django": "SHOP_NAME=no\n"}
    plan = plan_of(tmp_path, {"main.py": code, **local})
    assert values_of(plan)["SHOP_NAME"] == "books"
    assert values_of(plan)["USE_DOCKER"] != "yes"
