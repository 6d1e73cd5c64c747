"""What the last lines of a failed start ask for, and what they cannot ask for."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from preview.detection import Origin, Overrides, Server, StartPlan, Toolchain, Variable, merge
from preview.supervisor.mending import FailedStart, Mend, find_mend, with_folders
from preview.supervisor.mending.mender import _plain
from preview.supervisor.preview.mends import Mends

ROOT = "/data/previews/p/project"
TRACE = "Traceback (most recent call last):"


def mend_of(
    *lines: str,
    variables: dict[str, tuple[str, Origin]] | None = None,
    toolchain: Toolchain = Toolchain.PYTHON,
    spare: dict[str, str] | None = None,
    files: Sequence[str] = (),
    folder: str = ".",
    required: frozenset[str] = frozenset(),
    folders: frozenset[str] = frozenset(),
    defaulted: frozenset[str] = frozenset(),
    has_day: bool = False,
) -> Mend | None:
    known = {name: Variable(name, value, origin) for name, (value, origin) in (variables or {}).items()}
    plan = StartPlan("fastapi", toolchain, Server.ASGI, None, variables=known, directory=folder, python_path=(folder,))
    plan = replace(plan, defaulted=defaulted)
    own, withheld = frozenset({"app", "main"}), frozenset({"mine"})
    return find_mend(FailedStart(lines, plan, own, ROOT, spare or {}, files, withheld, {}, required, folders, has_day))


def values(mend: Mend | None) -> dict[str, str]:
    return {} if mend is None else {name: one.value for name, one in mend.variables.items()}


@pytest.mark.parametrize(
    "lines",
    [
        # Names of the project's own modules, of Python's, and what is no name.
        ["ModuleNotFoundError: No module named 'app.core'"],
        ["ModuleNotFoundError: No module named 'utils'"],
        ["ModuleNotFoundError: No module named 'distutils'"],
        ["ModuleNotFoundError: No module named '-r /etc/passwd'"],
        ["ModuleNotFoundError: No module named '../evil'"],
        ["ModuleNotFoundError: No module named 'evil @ file:///tmp/evil'"],
        # Folders outside, and those that are for code.
        ["FileNotFoundError: [Errno 2] No such file or directory: '/etc/logs/app.log'"],
        ["FileNotFoundError: [Errno 2] No such file or directory: '../logs/app.log'"],
        [f"FileNotFoundError: [Errno 2] No such file or directory: '{ROOT}/../../other/logs/a.log'"],
        ["FileNotFoundError: [Errno 2] No such file or directory: 'config.json'"],
        # Variables that programs take for more than a setting.
        ["KeyError: 'LD_PRELOAD'"],
        ["KeyError: 'PYTHONPATH'"],
        ["KeyError: 'NODE_OPTIONS'"],
        *([f"KeyError: '{name}'"] for name in ("HTTPS_PROXY", "BASH_ENV", "ENV", "SSL_CERT_FILE", "UV_INDEX", "PIP_X")),
    ],
)
def test_lines_ask_for_nothing_that_a_program_may_not_choose(lines: list[str]) -> None:
    assert mend_of(TRACE, *lines) is None


@pytest.mark.parametrize(
    "name",
    [
        *("./routes/users", "/etc/passwd", "@/models", "~/lib", "fs", "node:net", "app/models", "..", "a b", "A@1"),
        # Whoever likes may own a package of the first part's name.
        *("@utils/logger", "@app/services/user", "@core/db", "config/db", "models/user", "dist/main.js", "utils"),
        # The project has a folder of this name, which its compiler's options may put on the path.
        "stripe",
    ],
)
def test_paths_and_aliases_of_node_are_no_packages(name: str) -> None:
    files = ["src/lib/stripe/index.ts"]
    assert mend_of(f"Error: Cannot find module '{name}'", toolchain=Toolchain.NODE, files=files) is None


def test_a_package_of_node_is_read_from_the_newest_error_alone() -> None:
    lines = ("Error: Cannot find module 'lodash'", "TypeError: x is not a function", *("    at f",) * 9)
    assert mend_of(*lines, toolchain=Toolchain.NODE) is None


@pytest.mark.parametrize("module", ["ingestion", "ingestion.parser", "config_", "mine"])
def test_modules_of_the_project_and_names_that_no_index_may_have_are_no_packages(module: str) -> None:
    line = f"ModuleNotFoundError: No module named '{module}'"
    assert mend_of(TRACE, line, files=["backend/src/ingestion/other.py"], folder="backend/src") is None


def test_a_well_known_package_is_not_a_module_inside_a_package() -> None:
    files = ["app/core/__init__.py", "app/core/redis.py"]
    mend = mend_of(TRACE, "ModuleNotFoundError: No module named 'redis'", files=files)
    assert mend is not None
    assert (mend.requirements, mend.python_path) == (("redis",), None)


def test_a_file_that_imports_a_package_of_its_own_name_means_the_package() -> None:
    lines = [
        TRACE,
        f'  File "{ROOT}/clients/redis.py", line 2, in <module>',
        "    from redis.asyncio import Redis",
        "ModuleNotFoundError: No module named 'redis'",
    ]
    mend = mend_of(*lines, files=["main.py", "clients/redis.py"])
    assert mend is not None
    assert (mend.requirements, mend.python_path) == (("redis",), None)


def test_values_that_somebody_has_given_stay() -> None:
    lines = ["1 validation error for Settings", "PORT_NUMBER", "  Input should be a valid integer [type=int_parsing]"]
    for origin in (Origin.PROJECT, Origin.REQUEST, Origin.SETTINGS):
        assert mend_of(*lines, variables={"PORT_NUMBER": ("x", origin)}) is None
    assert values(mend_of(*lines, variables={"PORT_NUMBER": ("x", Origin.MADE_UP)})) == {"PORT_NUMBER": "{port}"}


def test_the_same_change_is_made_once() -> None:
    lines = ["1 validation error for Settings", "WORKERS", "  Input should be a valid integer [type=int_parsing]"]
    assert mend_of(*lines, variables={"WORKERS": ("10", Origin.MADE_UP)}) is None


@pytest.mark.parametrize(
    ("type_", "said", "value"),
    [
        ("missing", "Field required", "preview"),
        ("int_parsing", "Input should be a valid integer, unable to parse string as an integer", "10"),
        ("bool_parsing", "Input should be a valid boolean, unable to interpret input", "False"),
        ("list_type", "Input should be a valid list", "[]"),
        ("dict_type", "Input should be a valid dictionary", "{}"),
        ("url_parsing", "Input should be a valid URL, relative URL without a base", "http://localhost"),
        (
            "url_scheme",
            "URL scheme should be 'postgres', 'postgresql' or 'postgresql+asyncpg'",
            "postgresql://postgres:postgres@localhost:5432/preview",
        ),
        ("string_too_short", "String should have at least 12 characters", "preview00000"),
        ("greater_than", "Input should be greater than 20", "21"),
        ("literal_error", "Input should be 'blue' or 'green'", "blue"),
        ("enum", "Input should be 'blue' or 'dev'", "dev"),
    ],
)
def test_a_field_that_pydantic_refuses_gets_a_value_of_its_form(type_: str, said: str, value: str) -> None:
    lines = [
        TRACE,
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings",
        "shade",
        f"  {said} [type={type_}, input_value='x', input_type=str]",
        "    For further information visit https://errors.pydantic.dev/2.11/v",
    ]
    assert values(mend_of(*lines, variables={"APP_SHADE": ("x", Origin.EXAMPLE)})) == {"APP_SHADE": value}


def test_an_item_that_pydantic_1_refuses_changes_the_whole_value() -> None:
    lines = [
        "pydantic.error_wrappers.ValidationError: 1 validation error for Settings",
        "CORS_ORIGINS -> 0",
        "  invalid or missing URL scheme (type=value_error.url.scheme)",
    ]
    mend = mend_of(*lines, variables={"CORS_ORIGINS": ("[]", Origin.MADE_UP)})
    assert values(mend) == {"CORS_ORIGINS": "http://localhost"}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["KeyError: 'STRIPE_KEY'"], {"STRIPE_KEY": "{secret}"}),
        (["Error: process.env.STRIPE_KEY에 값을 설정하지 않았습니다", "    at a.js:3:1"], {"STRIPE_KEY": "{secret}"}),
        (["decouple.UndefinedValueError: SHOP_NAME not found. Declare it"], {"SHOP_NAME": "preview"}),
        (
            ['pydantic_settings.exceptions.SettingsError: error parsing value for field "hosts" from source "EnvSett"'],
            {"HOSTS": '["*"]'},
        ),
        (
            [
                f'  File "{ROOT}/app/config.py", line 4, in <module>',
                '    SIZE = int(os.environ.get("PAGE_SIZE"))',
                "TypeError: int() argument must be a string, a bytes-like object or a real number, not 'NoneType'",
            ],
            {"PAGE_SIZE": "10"},
        ),
        (
            [
                f'  File "{ROOT}/app/config.py", line 4, in <module>',
                "    hosts = settings.ALLOWED_ONES.split(',')",
                '  File "/env/lib/x.py", line 4, in y',
                "    return z.w",
                "AttributeError: 'NoneType' object has no attribute 'split'",
            ],
            {"ALLOWED_ONES": "preview"},
        ),
    ],
)
def test_a_variable_without_a_value_gets_one(lines: list[str], expected: dict[str, str]) -> None:
    known = {"ALLOWED_ONES": ("", Origin.MADE_UP)}
    assert values(mend_of(TRACE, *lines, variables=known)) == expected


def test_what_env_schema_misses_or_refuses_gets_a_value_of_its_form() -> None:
    said = (
        "Error: env must have required property 'FARM_KEY', env/FARM_PLOTS must be integer, "
        "env/FARM_CODE must NOT have fewer than 40 characters, env must have required property 'PATH'"
    )
    found = values(mend_of(said, toolchain=Toolchain.NODE))
    assert set(found) == {"FARM_KEY", "FARM_PLOTS", "FARM_CODE"}
    assert found["FARM_PLOTS"].isdigit()
    assert len(found["FARM_CODE"]) >= 40


def test_a_property_that_purify_misses_gets_a_value() -> None:
    said = 'Configuration is wrong: Problem with property "FARM_KEY": it does not exist in received object {"A":"b"}'
    assert set(values(mend_of(said, "Shutting down", toolchain=Toolchain.NODE))) == {"FARM_KEY"}


def test_what_a_class_of_settings_refuses_gets_a_value_of_its_form() -> None:
    said = " - property {} has failed the following constraints: {} "
    head = "An instance of EnvironmentVariables has failed the validation:"
    lines = [f"Error: {head}", said.format("FARM_KEY", "isString, minLength"), f",{head}"]
    lines += [
        said.format("FARM_PLOTS", "isInt"),
        said.format("name", "isString"),
        said.format("NODE_OPTIONS", "isString"),
    ]
    found = values(mend_of(*lines, toolchain=Toolchain.NODE))
    assert set(found) == {"FARM_KEY", "FARM_PLOTS"}
    assert found["FARM_PLOTS"].isdigit()


def test_what_zod_refuses_gets_a_value_of_its_form() -> None:
    lines = [
        "Invalid configuration: [] {",
        """  NODE_ENV: { errors: [ 'Invalid option: expected one of "dev"|"prod"' ] },""",
        "  FARM_SECRET: { errors: [ 'Too small: expected string to have >=70 characters' ] },",
        "  FARM_PLOTS: { errors: [ 'Invalid input: expected number, received NaN' ] },",
        "  FARM_URL: [ 'Invalid url' ], FARM: [ 1 ],",
        """  "BARN_MODE": [ "Invalid enum value. Expected 'dry' | 'wet', received ''" ],""",
        "  DOTENV_KEY: [ 'Required' ],",
        "}",
    ]
    mend = mend_of(*lines, toolchain=Toolchain.NODE)
    found = values(mend)
    assert set(found) == {"NODE_ENV", "FARM_SECRET", "FARM_PLOTS", "FARM_URL", "BARN_MODE"}
    assert (found["NODE_ENV"], found["BARN_MODE"], found["FARM_PLOTS"].isdigit()) == ("dev", "dry", True)
    assert len(found["FARM_SECRET"]) >= 70 or found["FARM_SECRET"] == "{secret}"
    assert mend is not None
    assert mend.variables["NODE_ENV"].origin is Origin.SUPPLIED


def test_what_zod_refuses_over_several_lines_gets_the_beginning_that_it_demands() -> None:
    lines = [
        "    errors: {",
        '      "FARM_MAIL_SID": [',
        '        "The SID must start with MG or US"',
        "      ],",
        '      "FARM_KEY": [',
        '        "The key is required"',
        "      ]",
        "Error: Environment validation failed",
    ]
    found = values(mend_of(*lines, toolchain=Toolchain.NODE))
    assert found["FARM_MAIL_SID"] == f"MG{'0' * 32}"
    assert found["FARM_KEY"]


def test_words_in_capitals_are_no_variables() -> None:
    lines = [f'  File "{ROOT}/a.py", line 4, in b', '    row = ask("SELECT name FROM shops WHERE id = 1").name']
    assert mend_of(TRACE, *lines, "AttributeError: 'NoneType' object has no attribute 'name'") is None


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("ModuleNotFoundError: No module named 'debug_toolbar'", "django-debug-toolbar<5"),
        ("ModuleNotFoundError: No module named 'jose.jwt'", "python-jose"),
        ('RuntimeError: Form data requires "python-multipart" to be installed.', "python-multipart"),
        ("AttributeError: 'Marshmallow' object has no attribute 'SQLAlchemyAutoSchema'", "marshmallow-sqlalchemy"),
        (
            "ImportError: email-validator is not installed, run `pip install 'pydantic[email]'`",
            "email-validator",
        ),
        ("django.core.exceptions.ImproperlyConfigured: Error loading psycopg2 or psycopg module", "psycopg2-binary"),
    ],
)
def test_a_package_that_no_manifest_names_is_installed(line: str, package: str) -> None:
    mend = mend_of(TRACE, line, spare={"django-debug-toolbar": "django-debug-toolbar<5"})
    assert mend is not None
    assert mend.requirements == (package,)


@pytest.mark.parametrize(
    ("spare", "package"),
    [
        (["django-simple-captcha"], "django-simple-captcha==0.6"),
        (["django-simple-captcha", "django-other-captcha"], "captcha"),
        (["simple-captcha"], "captcha"),
    ],
)
def test_a_package_of_another_manifest_goes_before_a_guess(spare: list[str], package: str) -> None:
    line = "ModuleNotFoundError: No module named 'captcha'"
    mend = mend_of(TRACE, line, spare={name: f"{name}==0.6" for name in spare})
    assert mend is not None
    assert mend.requirements == (package,)


@pytest.mark.parametrize(
    ("said", "is_number"),
    [
        ('[env] Error: Environment variable "FARM_ROUNDS" must be a valid number', True),
        ("Error: variable FARM_ROUNDS must be an integer", True),
        ("Error: variable FARM_ROUNDS should be a word", False),
    ],
)
def test_a_value_that_a_check_of_the_project_refuses_gets_the_form_that_it_names(said: str, is_number: bool) -> None:
    mend = mend_of(said, toolchain=Toolchain.NODE, variables={"FARM_ROUNDS": ("x", Origin.MADE_UP)})
    assert mend is not None
    assert mend.variables["FARM_ROUNDS"].value.isdigit() is is_number


@pytest.mark.parametrize("said", ["a security token", "a word during the start"])
def test_a_word_in_a_word_is_no_form(said: str) -> None:
    mend = mend_of(f"Error: variable FARM_WORD must be {said}", toolchain=Toolchain.NODE)
    assert "://" not in values(mend)["FARM_WORD"]


@pytest.mark.parametrize(
    "line",
    [
        'Something went wrong installing the "sharp" module',
        'Error: Could not load the "sharp" module using the linux-x64 runtime',
        "Cannot find module '../build/Release/sharp-linux-x64.node'",
    ],
)
def test_a_sharp_whose_binary_is_not_there_is_replaced_by_one_that_is_a_package(line: str) -> None:
    mend = mend_of("Error: ", line, toolchain=Toolchain.NODE, required=frozenset({"sharp"}))
    assert mend is not None
    assert mend.requirements == ("sharp@>=0.33.5",)
    assert mend_of("Error: ", line, toolchain=Toolchain.PYTHON) is None


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("Error: Cannot find module 'lodash/fp'", "lodash"),
        ("Error [ERR_MODULE_NOT_FOUND]: Cannot find package '@nestjs/jwt' imported from /p/a.js", "@nestjs/jwt"),
        ('Error: unable to determine transport target for "pino-pretty"', "pino-pretty"),
        ("Error: Please install pg package manually", "pg"),
        ("Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'joi' imported from /app/src/index.js", "joi"),
        ('DriverError: Postgres package has not been found installed. Please run "npm install pg".', "pg"),
        ("DriverError: Postgres package has not been found installed. Try to install it: npm install pg --save", "pg"),
        ('[Nest] 7 ERROR [PackageLoader] The "class-validator" package is missing. Please, make', "class-validator"),
    ],
)
def test_a_package_of_node_that_no_manifest_names_is_installed(line: str, package: str) -> None:
    mend = mend_of(line, "Require stack:", "- /p/server.js", toolchain=Toolchain.NODE)
    assert mend is not None
    assert mend.requirements == (package,)


@pytest.mark.parametrize(
    ("lines", "package"),
    [
        (("Require stack:", "- /p/node_modules/nest-prometheus/dist/index.js", "- /p/main.ts"), "prom-client"),
        (("Require stack:", "- /p/src/index.js", "- /p/node_modules/a/index.js"), None),
        ((), None),
    ],
)
def test_what_a_package_requires_is_installed_whatever_its_name(lines: tuple[str, ...], package: str | None) -> None:
    """npm before 7, pnpm and yarn leave out what a package wants beside itself."""
    mend = mend_of("Error: Cannot find module 'prom-client'", *lines, toolchain=Toolchain.NODE)
    assert (mend.requirements if mend is not None else ()) == ((package,) if package else ())
    relative = mend_of("Error: Cannot find module './own'", *lines, toolchain=Toolchain.NODE)
    assert relative is None or relative.requirements == ()


def test_what_a_package_of_es_modules_requires_is_installed() -> None:
    by = "imported from /p/node_modules/a/index.js"
    mend = mend_of(f"Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'prom-client' {by}", toolchain=Toolchain.NODE)
    assert mend is not None
    assert mend.requirements == ("prom-client",)


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        (f"FileNotFoundError: [Errno 2] No such file or directory: '{ROOT}/var/logs/app.log'", "var/logs"),
        ("RuntimeError: Directory 'static' does not exist", "static"),
        ("Error: ENOENT: no such file or directory, open 'uploads/list.json'", "uploads"),
    ],
)
def test_a_folder_for_what_a_program_writes_is_made(line: str, folder: str) -> None:
    mend = mend_of(TRACE, line)
    assert mend is not None
    assert mend.folders == (folder,)
    plan = with_folders(StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, None), mend.folders)
    assert [step.argv[-1] for step in plan.steps] == [folder]


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("TypeError: SQLAlchemy.create_all() got an unexpected keyword argument 'app'", "flask-sqlalchemy<3"),
        ("RuntimeError: Either 'SQLALCHEMY_DATABASE_URI' or 'SQLALCHEMY_BINDS' must be set.", "flask-sqlalchemy<3"),
        ("TypeError: Connection.__init__() takes 1 positional argument but 5 were given", "pymysql<1"),
        ("AttributeError: 'Flask' object has no attribute 'before_first_request'", "flask<2.3"),
        ("AttributeError: module 'flask.json' has no attribute 'JSONEncoder'", "flask<2.3"),
        ("ImportError: cannot import name '_endpoint_from_view_func' from 'flask.helpers' (/e/h.py)", "flask<2.2"),
        ("ImportError: cannot import name 'safe_join' from 'flask' (/e/flask/__init__.py)", "flask<2.1"),
        ("ModuleNotFoundError: No module named 'flask._compat'", "flask<2"),
        ("ImportError: cannot import name 'TextField' from 'wtforms' (/e/wtforms/__init__.py)", "wtforms<3"),
        ("ImportError: cannot import name 'Required' from 'wtforms.validators' (/e/v.py)", "wtforms<3"),
        ("AttributeError: module 'wtforms.validators' has no attribute 'Required'", "wtforms<3"),
        ("ModuleNotFoundError: No module named 'wtforms.fields.html5'", "wtforms<3"),
        ("ImportError: cannot import name 'url_quote' from 'werkzeug.urls' (/e/urls.py)", "werkzeug<3"),
        ("ImportError: cannot import name 'parse_rule' from 'werkzeug.routing' (/e/r.py)", "werkzeug<2.2"),
        (
            "AttributeError: module 'sqlalchemy.orm.attributes' has no attribute 'ScalarAttributeImpl'",
            "sqlalchemy<2.1",
        ),
        ("AttributeError: module 'sqlalchemy.orm' has no attribute 'relation'", "sqlalchemy<2"),
        ("TypeError: relationship() missing 1 required positional argument: 'argument'", "sqlalchemy>=2,<2.1"),
        ("ImportError: cannot import name 'mapped_column' from 'sqlalchemy.orm' (/a/b.py)", "sqlalchemy>=2,<2.1"),
        ("AttributeError: module 'sqlalchemy' has no attribute '__all__'. Did you mean: '__file__'?", "sqlalchemy<2"),
        (
            'sqlalchemy.orm.exc.MappedAnnotationError: Type annotation for "A.b" can\'t be correctly interpreted for',
            "sqlalchemy<2",
        ),
        ("ImportError: cannot import name 'BaseResponse' from 'werkzeug.wrappers' (/e/w.py)", "werkzeug<2.1"),
        ("ModuleNotFoundError: No module named 'werkzeug.contrib'", "werkzeug<1"),
        ("ImportError: cannot import name 'types' from 'google.cloud.language' (/e/g.py)", "google-cloud-language<2"),
        ("ImportError: cannot import name 'enums' from 'google.cloud.speech' (/e/g.py)", "google-cloud-speech<2"),
        ("AttributeError: module 'google.cloud.vision' has no attribute 'types'", "google-cloud-vision<2"),
        ("TypeError: 'class Meta' got invalid attribute(s): index_together", "django<5.1"),
        ("AttributeError: module 'django.db.models' has no attribute 'NullBooleanField'", "django<4"),
        ("ImportError: cannot import name 'lru_cache' from 'django.utils' (/e/u.py)", "django<3"),
        ("TypeError: AsyncClient.__init__() got an unexpected keyword argument 'proxies'", "httpx<0.28"),
    ],
)
def test_a_package_that_is_newer_than_the_project_is_limited(line: str, limit: str) -> None:
    mend = mend_of(TRACE, line)
    assert mend is not None
    assert mend.requirements == (limit,)


@pytest.mark.parametrize(
    ("module", "files", "path"),
    [
        ("backend.config", ["backend/config.py", "backend/manage.py"], ("backend", ".")),
        ("services.mail", ["server/src/services/mail.py"], ("backend", "server/src")),
        ("helpers", ["lib/helpers/a.py", "deep/down/helpers/b.py"], ("backend", "lib")),
        ("services.gone", ["server/src/services/mail.py"], None),
    ],
)
def test_the_folder_of_a_module_is_added_to_the_import_path(
    module: str, files: list[str], path: tuple[str, ...] | None
) -> None:
    mend = mend_of(TRACE, f"ModuleNotFoundError: No module named '{module}'", files=files, folder="backend")
    assert (None if mend is None else mend.python_path) == path


@pytest.mark.parametrize("file", ["clients/redis.py", "clients/redis/__init__.py"])
def test_a_folder_whose_module_hides_a_required_package_is_not_added(file: str) -> None:
    said = (TRACE, "ModuleNotFoundError: No module named 'helpers'")
    mend = mend_of(*said, files=["clients/helpers.py", file], required=frozenset({"redis"}))
    assert mend is None or mend.python_path is None
    assert mend_of(*said, files=["clients/helpers.py", file]) is not None


def test_a_limit_for_a_package_with_one_version_is_no_mend() -> None:
    plan = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None)
    lines = [TRACE, "AttributeError: 'Flask' object has no attribute 'before_first_request'"]
    assert find_mend(FailedStart(lines, plan, frozenset(), ROOT, named={"flask": True})) is None
    assert find_mend(FailedStart(lines, plan, frozenset(), ROOT, named={"flask": False})) is not None


@pytest.mark.parametrize("is_pinned", [True, False])
@pytest.mark.parametrize(
    "error",
    [
        "ImportError: cannot import name 'TimedJSONWebSignatureSerializer' from 'itsdangerous' (/env/its.py)",
        "ImportError: cannot import name 'JSONWebSignatureSerializer' from 'itsdangerous' (/env/its.py)",
        "AttributeError: module 'itsdangerous' has no attribute 'TimedJSONWebSignatureSerializer'",
    ],
)
def test_a_pin_of_which_an_older_version_serves_all_is_limited(error: str, is_pinned: bool) -> None:
    plan = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None)
    named = {"itsdangerous": is_pinned, "flask": True}
    own = f'  File "{ROOT}/app/models.py", line 7, in <module>'
    mend = find_mend(FailedStart([TRACE, own, error], plan, frozenset(), ROOT, named=named))
    assert mend is not None
    assert mend.requirements == ("itsdangerous<2.1",)
    assert ("the pinned itsdangerous lacks what the project imports" in mend.why) == is_pinned


@pytest.mark.parametrize("is_named", [True, False])
def test_a_django_that_is_older_than_the_projects_own_code_is_renewed(is_named: bool) -> None:
    plan = StartPlan("django", Toolchain.PYTHON, Server.WSGI, None)
    own = f'  File "{ROOT}/apps/cart/models.py", line 79, in Meta'
    error = "TypeError: CheckConstraint.__init__() got an unexpected keyword argument 'condition'"
    mend = find_mend(FailedStart([TRACE, own, error], plan, frozenset(), ROOT, named={"django": is_named}))
    assert mend is not None
    assert mend.requirements == ("django<6,>=5.1",)
    assert mend.why.startswith("the pinned django lacks" if is_named else "django is older")


@pytest.mark.parametrize(
    ("error", "named", "frame", "found"),
    [
        ("ModuleNotFoundError: No module named 'pythonjsonlogger.json'", True, f"{ROOT}/app/main.py", True),
        ("ImportError: cannot import name 'Json' from 'pythonjsonlogger.core' (/env/a.py)", True, f"{ROOT}/a.py", True),
        ("ModuleNotFoundError: No module named 'pythonjsonlogger.json'", False, f"{ROOT}/app/main.py", False),
        ("ModuleNotFoundError: No module named 'json.pythonjsonlogger'", True, f"{ROOT}/app/main.py", False),
        ("ModuleNotFoundError: No module named 'pythonjsonlogger.json'", True, "/env/site-packages/a.py", False),
    ],
)
def test_a_pinned_package_without_what_the_project_imports_gets_its_newest_version(
    error: str, named: bool, frame: str, found: bool
) -> None:
    plan = StartPlan("fastapi", Toolchain.PYTHON, Server.ASGI, None)
    lines = [TRACE, f'  File "{frame}", line 9, in <module>', "    from pythonjsonlogger.json import Json", error]
    mend = find_mend(FailedStart(lines, plan, frozenset(), ROOT, named={"python-json-logger": named}))
    assert (mend is not None and mend.requirements == ("python-json-logger>0",)) is found


def test_a_pin_that_another_installed_package_cannot_use_is_limited() -> None:
    plan = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None)
    asking = '  File "/env/lib/python3.11/site-packages/jinja2/filters.py", line 13, in <module>'
    code = "    from markupsafe import soft_unicode"
    error = "ImportError: cannot import name 'soft_unicode' from 'markupsafe' (/env/markupsafe/__init__.py)"
    pinned = {"markupsafe": True, "jinja2": True}
    mend = find_mend(FailedStart([TRACE, asking, code, error], plan, frozenset(), ROOT, named=pinned))
    assert mend is not None
    assert mend.requirements == ("markupsafe<2.1",)
    assert mend.why == "the pinned markupsafe does not fit the installed jinja2: limiting it to markupsafe<2.1"
    own = f'  File "{ROOT}/app/views.py", line 13, in <module>'
    assert find_mend(FailedStart([TRACE, asking, own, code, error], plan, frozenset(), ROOT, named=pinned)) is None


def test_what_a_manifest_has_installed_already_is_no_mend() -> None:
    line = "ModuleNotFoundError: No module named 'redis'"
    assert mend_of(TRACE, line, required=frozenset({"redis"})) is None
    assert mend_of(TRACE, line, required=frozenset({"fastapi"})) is not None


def test_a_folder_that_is_there_is_no_mend() -> None:
    line = "FileNotFoundError: [Errno 2] No such file or directory: 'data/shops.json'"
    assert mend_of(TRACE, line, folders=frozenset({"data"})) is None
    assert mend_of(TRACE, line, folders=frozenset({"app"})) is not None


def test_the_newest_mend_is_taken_back_if_it_adds_packages() -> None:
    mends = Mends()
    first = Overrides(variables={"A": Variable("A", "x", Origin.MADE_UP)})
    mends.add(1, first, ("logs",), "first")
    assert not mends.take_back()
    mends.add(2, merge(first, Overrides(extra_requirements=("nowhere",))), (), "second")
    assert mends.take_back()
    assert (mends.overrides, mends.folders, mends.said) == (first, ("logs",), ("first",))
    assert mends.tried == {1, 2}
    assert not mends.take_back()


READ = "read without a value: SITE_KEY, OTHER_URL"


@pytest.mark.parametrize(
    "lines",
    [
        [TRACE, "TypeError: encode() argument 'key' must be str, not None", READ],
        [READ, "/app/main.js:3", "TypeError: Cannot read properties of undefined (reading 'split')"],
        ["Missing configuration, stopping", READ],
        ["[Nest] 2  ERROR [ExceptionHandler] Error: SITE_KEY no definido. Valores permitidos: a, b", READ],
        ["Erro: a chave é obrigatória", READ],
        [READ, "Error: secretOrKey must be set", "    at new Strategy (/app/node_modules/passport-jwt/x.js:1:1)"],
    ],
)
def test_what_a_program_read_without_a_value_gets_placeholders(lines: list[str]) -> None:
    found = values(mend_of(*lines))
    assert found.keys() == {"SITE_KEY", "OTHER_URL"}
    assert all(found.values())


@pytest.mark.parametrize(
    "lines",
    [
        # What no variable mends, though the line is there.
        [TRACE, "ImportError: cannot import name 'missing' from 'third'", READ],
        [READ, "SyntaxError: Unexpected token, expected a name"],
        [READ, "Error: connect ECONNREFUSED 127.0.0.1:27017, is the environment set?"],
        # What a program may not choose, and what is unset on purpose.
        ["Missing configuration", "read without a value: LD_PRELOAD, PATH, HTTPS_PROXY, CI, NODE_OPTIONS"],
        ["Missing configuration", "read without a value: AWS_DEFAULTS_MODE, AWS_PROFILE, OTEL_SDK_DISABLED"],
        ["Missing configuration", "read without a value: A; rm"],
        ["Missing configuration", "it read without a value: SITE_KEY"],
        ["all is well", READ],
    ],
)
def test_a_read_without_a_value_is_not_taken_for_the_cause_of_other_failures(lines: list[str]) -> None:
    assert not values(mend_of(*lines))


def test_a_variable_with_a_default_in_the_sources_keeps_it() -> None:
    found = values(mend_of("Missing configuration", READ, defaulted=frozenset({"SITE_KEY"})))
    assert found.keys() == {"OTHER_URL"}


def test_values_that_somebody_gave_stay_when_the_program_read_nothing() -> None:
    given = {"SITE_KEY": ("mine", Origin.REQUEST)}
    assert values(mend_of("Missing configuration", READ, variables=given)).keys() == {"OTHER_URL"}


PACKAGE = '  File "/cache/environments/1/lib/python3.11/site-packages/shop/views.py", line 3, in <module>'
OWN = f'  File "{ROOT}/app/views.py", line 3, in <module>'


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (PACKAGE, "TypeError: __init__() got an unexpected keyword argument 'loop'"),
        (PACKAGE, "AttributeError: 'Router' object has no attribute 'routes_by_name'"),
        (PACKAGE, "ImportError: cannot import name 'Undefined' from 'parts.fields'"),
        (OWN, "ImportError: cannot import name 'gone' from 'parts' (/x/site-packages/parts/__init__.py)"),
        (OWN, "AttributeError: module 'parts' has no attribute 'gone'"),
        (OWN, "ModuleNotFoundError: No module named 'parts.contrib'"),
    ],
)
def test_an_error_of_a_package_brings_those_of_the_project_s_day(frame: str, error: str) -> None:
    mend = mend_of(TRACE, OWN, "    shop.view(1)", frame, "    view(loop=1)", "    ^^^^^^^", error, has_day=True)
    assert mend is not None
    assert mend.is_dated
    assert mend_of(TRACE, frame, error) is None  # no file tells a day
    assert mend_of(TRACE, frame, error, has_day=True, toolchain=Toolchain.NODE) is None


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (OWN, "TypeError: view() missing 1 required positional argument: 'id'"),
        (OWN, "ImportError: cannot import name 'gone' from 'app.views'"),
        (OWN, "AttributeError: module 'json' has no attribute 'gone'"),
        (PACKAGE, "ValueError: no such port"),
        (PACKAGE, "sqlalchemy.exc.OperationalError: no such table"),
    ],
)
def test_other_errors_choose_no_older_packages(frame: str, error: str) -> None:
    mend = mend_of(TRACE, PACKAGE, "    load()", frame, "    view()", error, has_day=True)
    assert mend is None or not mend.is_dated


def test_older_packages_that_cannot_be_had_are_taken_back() -> None:
    mends = Mends()
    mends.add("dated", Overrides(is_dated=True), (), "choosing all packages as of the project's day")
    assert mends.overrides.is_dated
    assert mends.take_back()
    assert not mends.overrides.is_dated
    assert not mends.take_back()


def test_a_folder_that_looks_like_an_option_is_made(tmp_path: Path) -> None:
    plan = with_folders(StartPlan("node", Toolchain.NODE, Server.NODE, None), ["--uploads/images"])
    assert subprocess.run(plan.steps[0].argv, cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "--uploads/images").is_dir()


def test_a_placeholder_that_is_to_be_a_url_gets_a_scheme() -> None:
    known = {"LOG_HOST": ("localhost", Origin.MADE_UP), "OTHER": ("remote", Origin.MADE_UP)}
    lines = ["TypeError: Invalid URL", "  code: 'ERR_INVALID_URL',", "  input: 'localhost/push/v1'", "}"]
    assert values(mend_of(*lines, variables=known)) == {"LOG_HOST": "http://localhost"}
    assert values(mend_of(*lines[1:], variables=known)) == {}
    given = {"LOG_HOST": ("localhost", Origin.REQUEST)}
    assert values(mend_of(*lines, variables=given)) == {}


def test_a_module_that_only_logging_names_is_installed() -> None:
    cause = "The above exception was the direct cause of the following exception:"
    frames = ['  File "/usr/lib/python3.11/logging/config.py", line 1, in a', "    a()"] * 10
    lines = [
        *(TRACE, *frames, "ModuleNotFoundError: No module named 'pythonjsonlogger'", "", cause, "", TRACE, *frames),
        *("ValueError: Cannot resolve 'pythonjsonlogger.A': No module named 'pythonjsonlogger'", "", cause, "", TRACE),
        *(*frames, "ValueError: Unable to configure formatter 'json'"),
    ]
    mend = mend_of(*lines, spare={"python-json-logger": "python-json-logger==2.0.2"})
    assert mend is not None
    assert mend.requirements == ("python-json-logger==2.0.2",)
    # An error that another one has followed without being its cause is none of this start's.
    assert mend_of(*[one for one in lines if one != cause]) is None


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ('requests==2.34.2; python_version >= "3.12" --hash=sha256:aa --hash=sha256:bb',
         "requests==2.34.2"),
        ('requests>=2; sys_platform == "linux"', "requests>=2"),
        ("requests[socks]==2.34.2 --hash=sha256:aa", "requests[socks]==2.34.2"),
        ("requests", "requests"),
    ],
)  # fmt: skip
def test_a_package_of_another_manifest_is_added_for_any_python(line: str, plain: str) -> None:
    assert _plain(line) == plain


def test_a_module_of_many_packages_in_a_group_gets_all_of_them() -> None:
    line = "ModuleNotFoundError: No module named 'opentelemetry'"
    spare = {f"opentelemetry-{part}": f"opentelemetry-{part}>=1" for part in ("api", "sdk", "exporter-otlp")}
    mend = mend_of(TRACE, line, spare={**spare, "black": "black"})
    assert mend is not None
    assert mend.requirements == tuple(spare.values())
    # Two may be anything.
    few = mend_of(TRACE, line, spare=dict([*spare.items()][:2]))
    assert few is None or len(few.requirements) == 1
    # Its own module is in no package.
    own = {name.replace("opentelemetry", "app"): text for name, text in spare.items()}
    assert mend_of(TRACE, "ModuleNotFoundError: No module named 'app'", spare=own) is None
