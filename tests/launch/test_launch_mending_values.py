"""Values that a program has and refuses: an empty default, a default of the wrong form, a weak secret."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from preview.detection import Origin, Server, StartPlan, Toolchain, Variable, detect
from preview.supervisor.mending import FailedStart, Mend, find_mend
from preview.supervisor.mending.container_values import find_keys, find_mentioned, find_read_together

ROOT = "/data/previews/p/project"
TRACE = "Traceback (most recent call last):"
FRAME = f'  File "{ROOT}/shop/settings.py", line 2, in <module>'
INNER = '  File "/env/lib/python3.12/site-packages/decouple.py", line 301, in __call__'
HEAD = "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings"


def mend_of(
    *lines: str,
    known: dict[str, tuple[str, Origin]] | None = None,
    defaulted: frozenset[str] = frozenset(),
    examples: dict[str, str] | None = None,
) -> Mend | None:
    variables = {name: Variable(name, value, origin) for name, (value, origin) in (known or {}).items()}
    plan = StartPlan("django", Toolchain.PYTHON, Server.DJANGO, None, variables=variables, defaulted=defaulted)
    given = {name: (value, ".env.example") for name, value in (examples or {}).items()}
    return find_mend(FailedStart(lines, plan, frozenset({"shop"}), ROOT, example_values=given))


def values(mend: Mend | None) -> dict[str, str]:
    return {} if mend is None else {name: one.value for name, one in mend.variables.items()}


@pytest.mark.parametrize(
    ("error", "names"),
    [
        ("botocore.exceptions.NoRegionError: You must specify a region.", {"AWS_DEFAULT_REGION"}),
        (
            "twilio.base.exceptions.TwilioException: Credentials are required to create a TwilioClient",
            {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"},
        ),
        (
            "ValueError: Missing key inputs argument! To use the Google AI API, provide (`api_key`) arguments.",
            {"GOOGLE_API_KEY"},
        ),
        ("LookupError: setuptools-scm was unable to detect version for /app.", {"SETUPTOOLS_SCM_PRETEND_VERSION"}),
        (
            "chain.Error: Did not find groq_api_key, please add an environment variable `GROQ_API_KEY` to it",
            {"GROQ_API_KEY"},
        ),
    ],
)
def test_clients_of_outside_services_get_the_variables_that_they_read_themselves(error: str, names: set[str]) -> None:
    mend = mend_of(TRACE, FRAME, "    client = make()", error)
    assert mend is not None
    assert set(mend.variables) == names


@pytest.mark.parametrize(("package", "is_mended"), [("dynaconf", True), ("other", False)])
def test_a_setting_that_dynaconf_has_in_no_file_gets_its_variable(package: str, *, is_mended: bool) -> None:
    frame = f'  File "/env/lib/site-packages/{package}/base.py", line 2, in __getattribute__'
    error = "AttributeError: 'Settings' object has no attribute 'SECRET_KEY'"
    mend = mend_of(TRACE, FRAME, "    SECRET_KEY = settings.secret_key", frame, "    return super()", error)
    assert set(values(mend)) == ({"DYNACONF_SECRET_KEY"} if is_mended else set())


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("firestore_v1", {"FIRESTORE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"}),
        ("storage", {"STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT"}),
        ("vision", set()),
    ],
)
def test_a_client_of_google_without_credentials_gets_the_address_of_an_emulator(package: str, names: set[str]) -> None:
    frame = f'  File "/env/lib/site-packages/google/cloud/{package}/client.py", line 2, in __init__'
    error = "google.auth.exceptions.DefaultCredentialsError: Your default credentials were not found."
    lines = (TRACE, FRAME, "    db = make()", frame, "    x", error)
    assert set(values(mend_of(*lines))) == names
    known = {"GOOGLE_CLOUD_PROJECT": ("shop", Origin.EXAMPLE)}
    assert set(values(mend_of(*lines, known=known))) == names - {*known}


@pytest.mark.parametrize(
    "line",
    [
        "ALLOWED_HOSTS = config('ALLOWED_HOSTS', default=[], cast=Csv())",
        "hosts = os.getenv('ALLOWED_HOSTS', [])",
        "ALLOWED_HOSTS = config(",
    ],
)
def test_a_read_that_fails_gets_the_value_of_the_example(line: str) -> None:
    lines = (
        TRACE,
        FRAME,
        f"    {line}",
        INNER,
        "    x.read()",
        "AttributeError: 'list' object has no attribute 'read'",
    )
    examples = {"ALLOWED_HOSTS": "localhost,127.0.0.1", "OTHER": "x"}
    mend = mend_of(*lines, defaulted=frozenset({"ALLOWED_HOSTS"}), examples=examples)
    assert values(mend) == {"ALLOWED_HOSTS": "localhost,127.0.0.1"}
    assert mend is not None
    assert mend.why == "the variable ALLOWED_HOSTS has no usable value: using what .env.example has"
    given = {"ALLOWED_HOSTS": ("a", Origin.REQUEST)}
    assert mend_of(*lines, known=given, examples=examples) is None
    assert mend_of(*lines, examples={"OTHER": "x"}) is None


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("engine = connect(os.environ['DATABASE_URL'])", "sqlalchemy.exc.OperationalError: no such host"),
        ("client = gone(os.environ['DATABASE_URL'])", "NameError: name 'gone' is not defined"),
    ],
)
def test_an_example_mends_no_other_failure(line: str, error: str) -> None:
    assert mend_of(TRACE, FRAME, f"    {line}", error, examples={"DATABASE_URL": "mysql://root@db/x"}) is None


def test_the_address_of_a_supplied_server_is_not_replaced_by_an_example_s() -> None:
    known = {"DATABASE_URL": ("{database_url}", Origin.SUPPLIED)}
    lines = (TRACE, FRAME, "    engine = connect(os.environ['DATABASE_URL'])", "ValueError: no such kind")
    assert mend_of(*lines, known=known, examples={"DATABASE_URL": "mysql://root@db/x"}) is None


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("SHOP_SECRET_KEY", "django.core.exceptions.ImproperlyConfigured: The SECRET_KEY setting must not be empty."),
        ("APP_SECRET_KEY", "RuntimeError: A secret key is required"),
        ("JWT_SECRET", "ValueError: JWT_SECRET is too weak"),
    ],
)
def test_a_secret_that_the_program_refuses_is_made(name: str, error: str) -> None:
    mend = mend_of(TRACE, FRAME, "    check()", error, defaulted=frozenset({name, "TOKEN", "SECRET_KEYS"}))
    assert values(mend) == {name: "{secret}"}
    # A secret that was made is no weak one.
    assert mend_of(TRACE, error, known={name: ("{secret}", Origin.MADE_UP)}) is None


def test_an_empty_default_that_the_program_refuses_gets_a_value() -> None:
    lines = (TRACE, FRAME, "    raise ValueError(…)", "ValueError: SHOP_NAME must not be empty")
    assert values(mend_of(*lines, defaulted=frozenset({"SHOP_NAME", "NAME"}))) == {"SHOP_NAME": "preview"}
    examples = {"SHOP_NAME": "Corner shop"}
    assert values(mend_of(*lines, defaulted=frozenset({"SHOP_NAME"}), examples=examples)) == examples


@pytest.mark.parametrize(
    "lines",
    [
        ("secret_key", "  Value error, SECRET_KEY must have 32 characters in production [type=value_error, input=1]"),
        ("  Value error, Default SECRET_KEY is not allowed in production [type=value_error, input_type=dict]",),
    ],
)
def test_a_secret_that_a_validator_refuses_is_made(lines: tuple[str, ...]) -> None:
    mend = mend_of(TRACE, HEAD, *lines, known={"SECRET_KEY": ("dev-only-1", Origin.EXAMPLE)})
    assert values(mend) == {"SECRET_KEY": "{secret}"}


@pytest.mark.parametrize("value", ["production", "prod", None])
def test_a_program_that_refuses_its_values_for_production_is_in_development(value: str | None) -> None:
    known = {"SECRET_KEY": ("{secret}", Origin.MADE_UP)}
    known |= {} if value is None else {"APP_ENV": (value, Origin.EXAMPLE)}
    defaulted = frozenset({"APP_ENV"} if value is None else ())
    said = "  Value error, HTTPS is required in production [type=value_error, input_type=dict]"
    mend = mend_of(TRACE, HEAD, said, known=known, defaulted=defaulted, examples={"APP_ENV": "production"})
    assert values(mend) == {"APP_ENV": "development"}
    staging = {"APP_ENV": ("staging", Origin.EXAMPLE)}
    assert mend_of(TRACE, HEAD, said, known=staging) is None


def test_a_missing_key_of_a_dictionary_is_no_variable_unless_an_example_has_it() -> None:
    lines = (TRACE, FRAME, "    db = app.config['SHOP_DB']", "         ~~~~~~~~~~^^^", "KeyError: 'SHOP_DB'")
    assert mend_of(*lines) is None
    assert values(mend_of(*lines, examples={"SHOP_DB": "shop"})) == {"SHOP_DB": "shop"}
    assert values(mend_of(*lines, "read without a value: SHOP_KIND")) == {"SHOP_KIND": "preview"}


def test_very_many_long_names_of_secrets_take_little_time() -> None:
    names = frozenset(f"{'A_' * 36}{one:04d}_KEY" for one in range(2000))
    lines = (TRACE, "ValueError: " + "A_" * 2000, *["A_" * 2000] * 3)
    started = time.process_time()
    assert mend_of(*lines, defaulted=names) is None
    assert time.process_time() - started < 2


@pytest.mark.parametrize("migrations", [True, False])
@pytest.mark.parametrize(
    "line",
    [
        "TypeORMError: No connection options were found in any orm configuration files.",
        "Error: Cannot find connection default because its not defined in any orm configuration files",
    ],
)
def test_typeorm_without_its_file_gets_the_previews_database(line: str, migrations: bool) -> None:
    url = "postgresql://preview:preview@localhost:5432/preview"
    bare = StartPlan("express", Toolchain.NODE, Server.NODE, None)
    plan = replace(bare, variables={"DATABASE_URL": Variable("DATABASE_URL", url, Origin.SUPPLIED)})
    files = ["src/a/entities/Product.ts", "src/user.entity.ts", "src/entities/types.d.ts", "src/server.ts"]
    files += ["src/migrations/1646851234567-Create.ts"] if migrations else []
    mend = find_mend(FailedStart([line], plan, frozenset(), ROOT, files=files))
    assert mend is not None
    given = {name: one.value for name, one in mend.variables.items()}
    assert (given["TYPEORM_CONNECTION"], given["TYPEORM_URL"]) == ("postgres", url)
    assert given["TYPEORM_ENTITIES"] == "src/a/entities/Product.ts,src/user.entity.ts"
    assert given["TYPEORM_MIGRATIONS"] == ("src/migrations/1646851234567-Create.ts" if migrations else "")
    assert ("TYPEORM_SYNCHRONIZE" in given) is not migrations
    assert find_mend(FailedStart([line], bare, frozenset(), ROOT, files=files)) is None


@pytest.mark.parametrize("origin", [Origin.REQUEST, Origin.PRESET, Origin.SETTINGS, Origin.PROJECT])
def test_typeorm_changes_no_database_that_a_user_has_named(origin: Origin) -> None:
    variables = {"DATABASE_URL": Variable("DATABASE_URL", "postgresql://me:secret@shop.example/shop", origin)}
    plan = replace(StartPlan("express", Toolchain.NODE, Server.NODE, None), variables=variables)
    line = "TypeORMError: No connection options were found in any orm configuration files."
    assert find_mend(FailedStart([line], plan, frozenset(), ROOT, files=["src/user.entity.ts"])) is None


@pytest.mark.parametrize(
    ("line", "node", "is_mended"),
    [
        ("Error: Node.js detected but native WebSocket not found.", "v20.20.2", True),
        ("ReferenceError: WebSocket is not defined", "v21.7.3", True),
        ("ReferenceError: WebSocket is not defined", "v20.9.0", False),
        ("ReferenceError: WebSocket is not defined", "v18.20.0", False),
        ("ReferenceError: Socket is not defined", "v20.20.2", False),
    ],
)
def test_a_program_that_needs_websocket_gets_it_from_an_older_node(line: str, node: str, is_mended: bool) -> None:
    plan = StartPlan("express", Toolchain.NODE, Server.NODE, None)
    mend = find_mend(FailedStart([line, "", f"Node.js {node}"], plan, frozenset(), ROOT))
    given = {} if mend is None else {name: one.value for name, one in mend.variables.items()}
    assert given == ({"NODE_OPTIONS": "--experimental-websocket"} if is_mended else {})


@pytest.mark.parametrize(
    ("text", "file", "expected"),
    [
        ('A = need("SHOP_KEY")\nB = need("SHOP_ID")\nC = need("SHOP_PAGES", 3)\n', "a.py", {"SHOP_KEY", "SHOP_ID"}),
        ("x = Config.get('SHOP_KEY'); y = Config.get('SHOP_ID');\n", "a.ts", {"SHOP_KEY", "SHOP_ID"}),
        ("x = Config.get('SHOP_KEY'); y = other('SHOP_ID');\n", "a.ts", {"SHOP_KEY"}),
        (
            "x = os.getenv('SHOP_KEY'); y = os.getenv('SHOP_ID'); z = os.environ.get('SHOP_NAME')\n",
            "a.py",
            {"SHOP_KEY"},
        ),
    ],
)
def test_all_variables_that_one_function_reads_are_set_at_once(
    tmp_path: Path, text: str, file: str, expected: set[str]
) -> None:
    (tmp_path / file).write_text(text)
    plan = StartPlan("django", Toolchain.PYTHON, Server.DJANGO, None)
    lines = ("Error: Environment variable SHOP_KEY is not set",)
    read = partial(find_read_together, tmp_path, [file])
    mend = find_mend(FailedStart(lines, plan, frozenset(), ROOT, read_together=read))
    assert set(values(mend)) == expected


def test_a_file_of_very_many_calls_is_read_in_bounded_time(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(
        "a." * 50_000 + "".join(f'f{one}("SHOP_{one}")\n' for one in range(5_000)) + "f(" * 20_000
    )
    started = time.process_time()
    assert find_read_together(tmp_path, ["a.py"] * 100, "SHOP_1") == []
    assert time.process_time() - started < 10


def test_a_variable_that_a_program_without_an_error_calls_missing_gets_a_value() -> None:
    lines = ("2026-11-29 20:31:57.758 | ERROR | main:125 - SHOP_TOKENS env not set. At least 1 is required.", "")
    assert values(mend_of(*lines, defaulted=frozenset({"SHOP_TOKENS"}))) == {"SHOP_TOKENS": "{secret}"}
    assert values(mend_of("started", *lines, defaulted=frozenset({"SHOP"}))) == {}
    later = (*lines, "ERROR: cannot go on")
    assert values(mend_of(*later, defaulted=frozenset({"SHOP_TOKENS"}))) == {}


def test_a_client_of_maps_gets_a_key_of_its_form() -> None:
    inner = '  File "/env/lib/python3.12/site-packages/googlemaps/client.py", line 139, in __init__'
    known = {"GOOGLE_MAPS_APIKEY": ("your-key", Origin.EXAMPLE), "MAIL_KEY": ("preview", Origin.MADE_UP)}
    error = "ValueError: Invalid API key provided."
    found = values(mend_of(TRACE, FRAME, inner, error, known=known, examples={"GOOGLE_MAPS_APIKEY": "your-key"}))
    assert found == {"GOOGLE_MAPS_APIKEY": f"AIza{'0' * 35}"}
    assert values(mend_of(TRACE, FRAME, error, known=known)) == {}


def test_what_babel_leaves_to_babel_node_is_loaded_first() -> None:
    plan = StartPlan("express", Toolchain.NODE, Server.NODE, None)
    mend = find_mend(FailedStart(["ReferenceError: regeneratorRuntime is not defined"], plan, frozenset(), ROOT))
    assert mend is not None
    assert mend.requirements == ("regenerator-runtime@^0.14.0",)
    assert mend.variables["NODE_OPTIONS"].value == "--require regenerator-runtime/runtime"


CONFIGS = """
class Development: ...
configs: dict[str, type] = {
    # {"no": 1}
    "dev": Development,
    'prod': make({"inner": 1}, "x"),
}
by_keyword = dict(local=Development, live=make(a=1))
"""
CREATE = f'  File "{ROOT}/app/__init__.py", line 7, in create_app'
LOOKUP = "    app.config.from_object(settings.configs[config_name])"


def lookup_mend(
    *lines: str, known: dict[str, str] | None = None, files: tuple[str, ...] = (), defaulted: tuple[str, ...] = ()
) -> Mend | None:
    variables = {name: Variable(name, value, Origin.MADE_UP) for name, value in (known or {}).items()}
    plan = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None, variables=variables, defaulted=frozenset(defaulted))
    tables = {"configs": ["dev", "prod"], "rows": ["dev", "prod"]}
    keys = partial(lambda name: tables.get(name, []))
    mentioned = partial(lambda names: [name for name in names if name == "ENV_STATE"])
    return find_mend(FailedStart(lines, plan, frozenset({"app"}), ROOT, files=files, keys_of=keys, mentioned=mentioned))


@pytest.mark.parametrize(
    ("lines", "known", "defaulted", "expected"),
    [
        ((LOOKUP, "KeyError: 'preview'"), {"SITE_TYPE": "preview"}, (), {"SITE_TYPE": "dev"}),
        ((LOOKUP, "KeyError: 'preview'"), {"SITE_MODE": "preview", "DB_NAME": "preview"}, (), {"SITE_MODE": "dev"}),
        ((LOOKUP, "KeyError: 'preview'"), {"A_NAME": "preview", "DB_NAME": "preview"}, (), {}),
        ((LOOKUP, "KeyError: 'development'"), {"ENV": "development"}, (), {"ENV": "dev"}),
        # `name.upper()`, and an error that the project makes of it.
        ((LOOKUP, "KeyError: 'PREVIEW'", "ValueError: unknown"), {"SITE_TYPE": "preview"}, (), {"SITE_TYPE": "dev"}),
        # Its own default is no key.
        ((LOOKUP, "KeyError: 'default'"), {}, ("PAGE_SIZE", "APP_SETTINGS"), {"APP_SETTINGS": "dev"}),
        ((LOOKUP, "KeyError: None", "read without a value: HOME_URL, SITE_MODE"), {}, (), {"SITE_MODE": "dev"}),
        # pydantic reads all variables at once.
        (("    return configs[env_state]()", "KeyError: None"), {}, (), {"ENV_STATE": "dev"}),
        (("    return configs[row_id]()", "KeyError: None"), {}, (), {}),
        ((LOOKUP, "KeyError: 'dev'"), {"SITE_MODE": "dev"}, (), {}),
        # The table may be one of data, and no variable has the value.
        (("    return configs[row.name]", "KeyError: 'x'"), {}, ("APP_SETTINGS",), {"APP_SETTINGS": "dev"}),
        (("    return rows[name]", "KeyError: 'x'"), {}, ("APP_SETTINGS",), {}),
        (("    return others[name]", "KeyError: 'preview'"), {"SITE_MODE": "preview"}, (), {}),
        (("    return configs['preview']", "KeyError: 'preview'"), {"SITE_MODE": "preview"}, (), {}),
    ],
)
def test_a_name_of_an_environment_that_a_dictionary_lacks_becomes_one_of_its_keys(
    lines: tuple[str, ...], known: dict[str, str], defaulted: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert values(lookup_mend(TRACE, CREATE, *lines, known=known, defaulted=defaulted)) == expected


def test_a_name_of_an_environment_that_is_no_module_becomes_one_of_the_folder() -> None:
    line = "ModuleNotFoundError: No module named 'config.stages.development'"
    folder = tuple(f"src/config/stages/{name}.py" for name in ("__init__", "base", "local", "production"))
    assert values(lookup_mend(line, known={"APP_ENV": "development"}, files=folder)) == {"APP_ENV": "local"}
    assert lookup_mend(line, known={"OTHER": "x"}, files=folder) is None
    assert lookup_mend(line, known={"APP_ENV": "development"}) is None
    # A name that is misspelt in the source is no variable's value.
    imports = (TRACE, CREATE, "    from config.stages.development import Config", line)
    assert values(lookup_mend(*imports, known={"APP_ENV": "development"}, files=folder)) == {}
    loads = (TRACE, CREATE, "    import_module(f'config.stages.{stage}')", line)
    assert values(lookup_mend(*loads, known={"APP_ENV": "development"}, files=folder)) == {"APP_ENV": "local"}


@pytest.mark.parametrize("name", ["NODE_OPTIONS", "LD_PRELOAD", "PYTHONPATH", "PORT", "PATH"])
def test_a_variable_that_programs_of_the_system_read_keeps_its_value(name: str) -> None:
    assert values(mend_of(TRACE, f"KeyError: '{name}'", known={name: ("x", Origin.SUPPLIED)})) == {}


@pytest.mark.parametrize(("table", "keys"), [("configs", ["dev", "prod"]), ("by_keyword", ["local", "live"])])
def test_the_keys_of_a_dictionary_are_read_from_the_source(tmp_path: Path, table: str, keys: list[str]) -> None:
    (tmp_path / "settings.py").write_text(CONFIGS)
    assert find_keys(tmp_path, ["settings.py"], table) == keys
    assert find_keys(tmp_path, ["settings.py"], "config") == []


def test_a_key_that_no_variable_can_have_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text('configs = {"a\0b": 1, "\x1b[2J": 2, "dev": 3}\n')
    assert find_keys(tmp_path, ["settings.py"], "configs") == ["dev"]


def test_the_keys_of_very_many_and_long_dictionaries_are_read_in_bounded_time(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("configs = {" * 100_000)
    (tmp_path / "b.py").write_text("configs = {" + "'" * 900_000)
    (tmp_path / "c.py").write_text("configs : " + " " * 900_000)
    (tmp_path / "d.py").symlink_to("/etc/passwd")
    (tmp_path / "e.py").write_text("configs = {\n" * 20 + "a" * 20_000)
    began = time.process_time()
    assert find_keys(tmp_path, ["a.py", "b.py", "c.py", "d.py", *["e.py"] * 400], "configs") == []
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("Error: JWT_ACCESS_SECRET is required", {"JWT_ACCESS_SECRET": "{secret}"}),
        ("ValueError: JWT_ACCESS_SECRET must not be empty", {"JWT_ACCESS_SECRET": "{secret}"}),
        ("Error: JWT_ACCESS_SECRET is too short", {}),
        ("Error: SHOP_ID is required", {}),
        ("ValueError: JWT_ACCESS_SECRET must contain at least one character.", {"JWT_ACCESS_SECRET": "{secret}"}),
        ("listening: JWT_ACCESS_SECRET is required", {}),
    ],
)
def test_a_variable_of_an_example_that_the_error_calls_missing_gets_a_value(
    error: str, expected: dict[str, str]
) -> None:
    assert values(mend_of(error, examples={"JWT_ACCESS_SECRET": "replace-me"})) == expected


@pytest.mark.parametrize(
    ("said", "form"),
    [
        ("Error: TOTP_KEY must be a base64-encoded 32-byte (256-bit) key", "{secret_base64}"),
        ("Error: TOTP_KEY must be 64 hex characters", "{secret}"),
        ("Error: TOTP_KEY should be a 32-byte hex string", "{secret}"),
        ("ValueError: TOTP_KEY must be exactly 32 bytes", "{secret_32}"),
        ("Error: OTHER_KEY must be exactly 32 bytes", None),
        ("Error: TOTP_MODE must be base64", None),
    ],
)
def test_a_secret_gets_the_form_that_the_error_tells(said: str, form: str | None) -> None:
    known = {"TOTP_KEY": ("made-up", Origin.MADE_UP), "TOTP_MODE": ("made-up", Origin.MADE_UP)}
    assert values(mend_of(said, known=known)).get("TOTP_KEY") == form
    zod = ("Error: [", "  {", '    "path": [', '      "TOTP_KEY"', "    ],", f'    "message": "{said[7:]}"', "  }", "]")
    assert form is None or values(mend_of(*zod, known=known)) == {"TOTP_KEY": form}


def test_the_url_of_a_database_is_the_previews_own_with_its_driver() -> None:
    url = "postgresql+asyncpg://preview:preview@localhost:5432/preview"
    error = "KeyError: 'APP_DATABASE_URL'"
    assert values(mend_of(error, known={"DATABASE_URL": (url, Origin.SUPPLIED)})) == {"APP_DATABASE_URL": url}
    other = values(mend_of(error, known={"DATABASE_URL": ("sqlite:///{database_path}", Origin.SUPPLIED)}))
    assert other["APP_DATABASE_URL"].startswith("postgresql://")


def test_an_address_that_needs_a_top_level_domain_gets_one() -> None:
    said = "  URL host invalid, top level domain required (type=value_error.url.host)"
    known = {"SMS_API_HOST": ("http://localhost", Origin.MADE_UP)}
    assert values(mend_of(HEAD, "sms_api_host", said, known=known)) == {"SMS_API_HOST": "http://preview.example"}


def test_a_refused_placeholder_becomes_the_value_that_the_project_gives() -> None:
    known = {"SHOP_COLOUR": ("preview", Origin.MADE_UP), "REDIS_HOST": ("localhost", Origin.MADE_UP)}
    examples = {"SHOP_COLOUR": "blue", "REDIS_HOST": "cache", "SHOP_SIZE": "7"}
    lines = (TRACE, FRAME, "    raise ValueError(message)", "ValueError: blue or red")
    assert values(mend_of(*lines, known=known, examples=examples)) == {"SHOP_COLOUR": "blue"}
    taken = {"SHOP_COLOUR": ("blue", Origin.EXAMPLE)}
    assert mend_of(*lines, known=taken, examples=examples) is None
    assert mend_of(TRACE, INNER, "    call()", "ValueError: blue or red", known=known, examples=examples) is None
    other = (TRACE, FRAME, "    import shop", "ModuleNotFoundError: No module named 'shop.colours'")
    assert not values(mend_of(*other, known=known, examples=examples))


def test_a_secret_is_that_of_the_project_only_if_a_made_up_one_was_refused() -> None:
    lines = (TRACE, FRAME, "    check()", "KeyError: 'SHOP_SECRET'")
    examples = {"SHOP_SECRET": "sk-1234"}
    assert values(mend_of(*lines, examples=examples)) == {"SHOP_SECRET": "{secret}"}
    known = {"SHOP_SECRET": ("{secret}", Origin.MADE_UP)}
    assert values(mend_of(*lines, known=known, examples=examples)) == {"SHOP_SECRET": "sk-1234"}


def test_a_secret_that_pydantic_s_settings_refuse_as_a_whole_gets_a_value_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "from fastapi import FastAPI\nfrom pydantic_settings import BaseSettings\n"
        "class Settings(BaseSettings):\n    SECRET_KEY: str = 'change-this'\n    HINT: str | None = None\n"
        "app = FastAPI()\n"
    )
    plan = detect(tmp_path)
    assert plan.defaulted == {"SECRET_KEY"}
    lines = [
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings",
        "  Value error, SECRET_KEY must be set to a secure random value in production. [type=value_error]",
    ]
    mend = find_mend(FailedStart(lines, plan, frozenset(), str(tmp_path)))
    assert mend is not None
    assert mend.variables["SECRET_KEY"].value == "{secret}"


def test_a_way_that_finds_nothing_to_change_leaves_the_variables_to_the_next(tmp_path: Path) -> None:
    lines = [
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for AppSchema",
        "host",
        "  Input should be a valid string [type=string_type, input_value=None, input_type=NoneType]",
        "read without a value: APP_HOST",
    ]
    mend = mend_of(*lines, known={"MYSQL_HOST": ("localhost", Origin.MADE_UP)})
    assert values(mend) == {"APP_HOST": "localhost"}


def test_variables_of_packages_alone_get_no_placeholders() -> None:
    lines = ("ValueError: a value is missing", "read without a value: LOG_SERVICE_NAME, SHOP_SITE")
    plan = StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, None)
    failed = FailedStart(lines, plan, frozenset({"shop"}), ROOT)
    assert set(values(find_mend(failed))) == {"LOG_SERVICE_NAME", "SHOP_SITE"}
    told = replace(failed, mentioned=lambda names: {"SHOP_SITE"} & {*names})
    assert set(values(find_mend(told))) == {"SHOP_SITE"}


def test_a_project_mentions_a_name_as_a_whole_or_by_its_quoted_end(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("os.environ['SHOP_KEY']\nwith env.prefixed('MAIL_'):\n    env('HOST_NAME')\n")
    (tmp_path / "other.py").write_text("configure(service_name=SERVICE, methods=['OPTIONS'])\n")
    files = ["main.py", "other.py", "missing.py"]
    names = ["SHOP_KEY", "MAIL_HOST_NAME", "LOG_SERVICE_NAME", "SERVICE_URL", "RATELIMIT_STORAGE_OPTIONS"]
    assert find_mentioned(tmp_path, files, names) == {"SHOP_KEY", "MAIL_HOST_NAME"}
    # Too many to read.
    assert find_mentioned(tmp_path, ["other.py"] * 501, names) == {*names}


def test_a_default_that_fails_gives_way_to_the_value_of_the_tests() -> None:
    lines = ["google.auth.exceptions.DefaultCredentialsError: Your default credentials were not found. To set up"]
    plan = StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, None, defaulted=frozenset({"LLM", "TOKEN", "DB_HOST"}))
    given = {
        "LLM": ("noop", ".github/workflows/ci.yml"),
        "TOKEN": ("abc", "tests/conftest.py"),
        "DB_HOST": ("localhost", ".github/workflows/ci.yml"),
        "OTHER": ("1", ".github/workflows/ci.yml"),
    }
    failed = FailedStart(lines, plan, frozenset({"shop"}), ROOT, example_values=given)
    mend = find_mend(failed)
    assert mend is not None
    assert {name: one.value for name, one in mend.variables.items()} == {"LLM": "noop"}
    assert mend.why == "the variable LLM has no usable value: using what .github/workflows/ci.yml has"
    assert find_mend(replace(failed, lines=["NameError: name 'x1' is not defined"])) is None
    assert find_mend(replace(failed, example_values={"LLM": ("noop", ".env.example")})) is None


@pytest.mark.parametrize(
    "said",
    [
        "Missing required environment variables: SHOP_HOST, SHOP_KEY, SHOP_MAIL [type=value_error]",
        "Missing required environment variables: 'SHOP_HOST', 'SHOP_KEY' and 'SHOP_MAIL'",
    ],
)
def test_all_variables_of_a_list_get_values_at_once(said: str) -> None:
    lines = ["pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings", f"  Value error, {said}"]
    assert set(values(mend_of(*lines))) == {"SHOP_HOST", "SHOP_KEY", "SHOP_MAIL"}


@pytest.mark.parametrize(
    ("line", "emptied"),
    [
        ("RuntimeError: Only DATABASE_URL may be used. Remove these variables: DB_HOST, PGHOST", {"DB_HOST", "PGHOST"}),
        ("ValueError: DB_HOST must not be set beside DATABASE_URL_2", {"DB_HOST"}),
        ("RuntimeError: DB_HOST is set", set()),
        ("RuntimeError: Remove SHOP_HOST", set()),
    ],
)
def test_variables_of_the_service_that_a_program_refuses_lose_their_values(line: str, emptied: set[str]) -> None:
    known = {
        "DATABASE_URL": ("postgresql://localhost/shop", Origin.SUPPLIED),
        "DB_HOST": ("localhost", Origin.SUPPLIED),
        "PGHOST": ("localhost", Origin.SUPPLIED),
        "SHOP_HOST": ("shop", Origin.REQUEST),
    }
    mend = mend_of(line, known=known)
    assert {name for name, value in values(mend).items() if value == ""} == emptied


@pytest.mark.parametrize(
    ("known", "given"),
    [
        (("localhost", Origin.SUPPLIED), {"REDIS_HOST": "redis://localhost"}),
        (("localhost", Origin.MADE_UP), {"REDIS_HOST": "redis://localhost"}),
        # What somebody has given stays.
        (("localhost", Origin.SETTINGS), {}),
        (("redis://localhost", Origin.SUPPLIED), {}),
    ],
)
def test_a_host_of_redis_gets_the_scheme_of_which_its_client_finds_none(
    known: tuple[str, Origin], given: dict[str, str]
) -> None:
    error = "ValueError: Redis URL must specify one of the following schemes (redis://, rediss://, unix://)"
    others = {"DB_HOST": ("localhost", Origin.SUPPLIED), "REDIS_PORT": ("6379", Origin.SUPPLIED)}
    mend = mend_of(TRACE, FRAME, "    redis = from_url(url)", error, known={"REDIS_HOST": known, **others})
    assert values(mend) == given
