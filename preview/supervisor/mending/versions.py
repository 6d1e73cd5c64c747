"""Mends of packages of another day than the project: a limit that an error tells, or all as of its day. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Final

from packaging.utils import canonicalize_name

from preview.detection import Origin, Toolchain, Variable
from preview.environments import ANY_VERSION, IN_SPITE, distribution_of
from preview.supervisor.mending.model import FRAME, FailedStart, Mend, newest_error

# What a newer version says, and the first that does not belong to the project.
_SAID: Final = {
    "flask-sqlalchemy<3": (
        re.compile(r"create_all\(\) got an unexpected keyword argument 'app'"),
        re.compile(r"\bget_app\b.{0,40}SQLAlchemy"),
        # Version 2 reads the settings later.
        re.compile(r"Either 'SQLALCHEMY_DATABASE_URI' or 'SQLALCHEMY_BINDS' must be set"),
        re.compile(r"'SQLAlchemy' object has no attribute '(?:get_app|create_scoped_session)'"),
    ),
    "pymysql<1": (re.compile(r"Connection\.__init__\(\) takes 1 positional argument but \d"),),
    "flask<2.3": (
        re.compile(
            r"'(?:Flask|Blueprint)' object has no attribute '(?:before_first_request|before_app_first_request)'"
        ),
        re.compile(r"'Flask' object has no attribute 'json_encoder'"),
        re.compile(r"module 'flask\.json' has no attribute 'JSONEncoder'"),
        re.compile(r"cannot import name '(?:_app_ctx_stack|_request_ctx_stack|JSONEncoder|escape|Markup)' from 'flask"),
    ),
    "flask<2.2": (re.compile(r"cannot import name '_endpoint_from_view_func' from 'flask"),),
    "flask<2.1": (re.compile(r"cannot import name 'safe_join' from 'flask"),),
    "flask<2": (re.compile(r"No module named 'flask\._compat'"),),
    "wtforms<3": (
        re.compile(r"cannot import name '(?:TextField|Required|HTMLString)' from 'wtforms"),
        re.compile(r"module 'wtforms(?:\.\w+)?' has no attribute '(?:TextField|Required|HTMLString)'"),
        re.compile(r"No module named 'wtforms\.(?:ext|compat|fields\.html5|widgets\.html5)"),
    ),
    "werkzeug<3": (
        re.compile(r"cannot import name '(?:url_quote|url_decode|url_encode|url_unquote|url_parse)' from 'werkzeug"),
        re.compile(r"module 'werkzeug' has no attribute '__version__'"),
    ),
    "werkzeug<2.2": (re.compile(r"cannot import name 'parse_rule' from 'werkzeug"),),
    "werkzeug<2.1": (
        re.compile(r"cannot import name '(?:safe_str_cmp|pbkdf2_bin|BaseResponse|BaseRequest)' from 'werkzeug"),
    ),
    "werkzeug<1": (
        re.compile(r"cannot import name '(?:secure_filename|FileStorage|cached_property)' from 'werkzeug'"),
        re.compile(r"No module named 'werkzeug\.contrib"),
    ),
    "itsdangerous<2.1": (
        re.compile(r"cannot import name '(?:Timed)?JSONWebSignatureSerializer' from 'itsdangerous"),
        re.compile(r"module 'itsdangerous' has no attribute '(?:Timed)?JSONWebSignatureSerializer'"),
    ),
    "jinja2<3.1": (
        re.compile(
            r"cannot import name '(?:escape|Markup|contextfunction|contextfilter|environmentfilter)' from 'jinja2'"
        ),
    ),
    "markupsafe<2.1": (re.compile(r"cannot import name 'soft_unicode' from 'markupsafe'"),),
    "pydantic<2": (
        re.compile(r"`?BaseSettings`? has been moved to"),
        re.compile(r"cannot import name 'ModelMetaclass' from 'pydantic"),
        re.compile(r"`regex` is removed"),
        re.compile(r"`const` is removed"),
        re.compile(r"`min_items` is removed"),
        re.compile(r"validators? .{0,60}`pre` .{0,20}removed"),
        re.compile(r"A non-annotated attribute was detected"),
        re.compile(r"@root_validator. with pre=False"),
        re.compile(r"you must specify `skip_on_failure=True`"),
        re.compile(r'"Config" and "model_config" cannot be used together'),
    ),
    "httpx<0.28": (re.compile(r"Client\.__init__\(\) got an unexpected keyword argument '(?:proxies|app)'"),),
    "bcrypt<4.1": (
        re.compile(r"password cannot be longer than 72 bytes"),
        re.compile(r"module 'bcrypt' has no attribute '__about__'"),
    ),
    "django<4": (
        re.compile(
            r"cannot import name '(?:force_text|u(?:n?get)text(?:_lazy)?|smart_text|is_safe_url|urlquote)' from 'django"
        ),
        re.compile(r"cannot import name 'url' from 'django\.conf\.urls"),
        re.compile(r"got an unexpected keyword argument 'providing_args'"),
        re.compile(r"module 'django\.db\.models' has no attribute 'NullBooleanField'"),
        re.compile(r"No module named 'django\.contrib\.postgres\.fields\.jsonb'"),
    ),
    "django<5": (
        re.compile(r"cannot import name 'NullBooleanField' from 'django"),
        re.compile(r"cannot import name 'utc' from 'django.utils.timezone'"),
        re.compile(r"cannot import name 'get_storage_class' from 'django"),
    ),
    "django<5.1": (
        re.compile(r"'class Meta' got invalid attribute\(s\): index_together"),
        re.compile(r"cannot import name 'CI(?:Char|Email|Text)Field' from 'django"),
    ),
    "django<6,>=5.1": (re.compile(r"CheckConstraint\.__init__\(\) got an unexpected keyword argument 'condition'"),),
    "django<3": (
        re.compile(r"cannot import name '(?:available_attrs|lru_cache|render_to_response)' from 'django"),
        re.compile(r"No module named 'django\.utils\.lru_cache'"),
        re.compile(r"cannot import name 'python_2_unicode_compatible' from 'django"),
        re.compile(r"No module named 'django\.utils\.six'"),
        re.compile(r"cannot import name 'staticfiles' from 'django\.contrib"),
        re.compile(r"'staticfiles' is not a registered tag library"),
        re.compile(r"cannot import name 'six' from 'django\.utils'"),
    ),
    "django<2": (
        re.compile(r"No module named 'django\.core\.urlresolvers'"),
        re.compile(r"__init__\(\) missing 1 required positional argument: 'on_delete'"),
    ),
    "marshmallow<3.20": (
        re.compile(r"Field\.__init__\(\) got an unexpected keyword argument '\w+'"),
        re.compile(r"cannot import name '__version__' from 'marshmallow'"),
    ),
    "sqlalchemy<2": (
        re.compile(r"Textual SQL expression .{1,200} should be explicitly declared as text"),
        re.compile(r"'Engine' object has no attribute '(?:execute|table_names|has_table)'"),
        re.compile(r"Not an executable object: '"),
        re.compile(r"\bMetaData\.__init__\(\) got an unexpected keyword argument 'bind'"),
        re.compile(r"Session\.__init__\(\) got an unexpected keyword argument 'autocommit'"),
        re.compile(r"module 'sqlalchemy\.orm' has no attribute '(?:relation|mapper)'"),
        re.compile(r"module 'sqlalchemy' has no attribute '__all__'"),
        re.compile(r'Type annotation for "[\w.]{1,100}" can\'t be correctly interpreted'),
        re.compile(r"cannot import name '(?:relation|mapper)' from 'sqlalchemy\.orm'"),
        re.compile(r"Column expression, FROM clause, or other columns clause element expected, got \["),
    ),
    # The project's day may be before its release.
    "sqlalchemy>=2,<2.1": (
        re.compile(r"\brelationship\(\) missing 1 required positional argument: 'argument'"),
        re.compile(r"cannot import name '(?:Mapped|mapped_column|DeclarativeBase\w{0,20})' from 'sqlalchemy\.orm'"),
    ),
    # SQLAlchemy-Utils before 0.42 uses it.
    "sqlalchemy<2.1": (re.compile(r"module 'sqlalchemy\.orm\.attributes' has no attribute 'ScalarAttributeImpl'"),),
    "numpy<1.24": (re.compile(r"module 'numpy' has no attribute '(?:float|int|bool|object|str|typeDict)'"),),
    "numpy<2": (
        re.compile(r"A module that was compiled using NumPy 1\.x cannot be run"),
        re.compile(r"numpy\.core\.multiarray failed to import"),
    ),
    "pyjwt<2": (
        re.compile(r"'str' object has no attribute 'decode'"),
        re.compile(r"decode\(\) missing 1 required .{0,30}argument.{0,5}: 'algorithms'"),
        re.compile(r'It is required that you pass in a value for the "algorithms" argument'),
    ),
    "openai<1": (re.compile(r"module 'openai' has no attribute '(?:ChatCompletion|Completion)'"),),
    "celery<5": (re.compile(r"No module named 'celery\.task'"),),
    "starlette<1": (
        re.compile(r"Router\.__init__\(\) got an unexpected keyword argument 'on_startup'"),
        re.compile(r"'(?:FastAPI|APIRouter|Starlette)' object has no attribute '(?:on_event|add_event_handler)'"),
    ),
    "setuptools<81": (re.compile(r"No module named 'pkg_resources'"),),
    # Version 2 of each took their modules `types` and `enums` away.
    "google-cloud-language<2": (
        re.compile(r"'(?:types|enums)' from 'google\.cloud\.language'"),
        re.compile(r"'google\.cloud\.language(?:' has no attribute '|\.)(?:types|enums)'"),
    ),
    "google-cloud-speech<2": (
        re.compile(r"'(?:types|enums)' from 'google\.cloud\.speech'"),
        re.compile(r"'google\.cloud\.speech(?:' has no attribute '|\.)(?:types|enums)'"),
    ),
    "google-cloud-texttospeech<2": (
        re.compile(r"'(?:types|enums)' from 'google\.cloud\.texttospeech'"),
        re.compile(r"'google\.cloud\.texttospeech(?:' has no attribute '|\.)(?:types|enums)'"),
    ),
    "google-cloud-videointelligence<2": (
        re.compile(r"'(?:types|enums)' from 'google\.cloud\.videointelligence'"),
        re.compile(r"'google\.cloud\.videointelligence(?:' has no attribute '|\.)(?:types|enums)'"),
    ),
    "google-cloud-vision<2": (
        re.compile(r"'(?:types|enums)' from 'google\.cloud\.vision'"),
        re.compile(r"'google\.cloud\.vision(?:' has no attribute '|\.)(?:types|enums)'"),
    ),
}
_RULES: Final = tuple((pattern, line) for line, patterns in _SAID.items() for pattern in patterns)
# Other packages raise such errors, too.
_ONLY_IF: Final = {"pyjwt": "jwt", "marshmallow": "marshmallow", "starlette": "starlette"}
_AFTER: Final = 4
_BEFORE: Final = 12


_INSTALLED: Final = re.compile(r"/site-packages/(?P<name>\w{1,100})(?:/|\.py$)")
_SHARP: Final = re.compile(
    r'(?:wrong installing|not load) the "sharp" module|sharp-linux(?:musl)?-(?:x64|arm64v?8?)\.node'
)
_NO_REGENERATOR: Final = re.compile(r"^ReferenceError: regeneratorRuntime is not defined")
_NO_WEBSOCKET: Final = re.compile(r"native WebSocket not found|^ReferenceError: WebSocket is not defined")
# 20.10 is the first with the option; Node names itself when an error ends it.
_HAS_OPTION: Final = re.compile(r"^Node\.js v(?:20\.[1-9]\d|21)\.")


def mend_versions(failed: FailedStart) -> Mend | None:
    """Return the limit for a package that is newer than the project; None if the last lines tell none."""
    number = newest_error(failed.lines)
    if failed.plan.toolchain is Toolchain.NODE and any(_SHARP.search(one) for one in failed.lines):
        why = "sharp's binary cannot be downloaded: using sharp 0.33 or newer, whose binary is a package of npm"
        return Mend(why, requirements=("sharp@>=0.33.5",))
    if failed.plan.toolchain is Toolchain.NODE and (mend := _mend_node_options(failed)) is not None:
        return mend
    if number is None or failed.plan.toolchain is not Toolchain.PYTHON:
        return None
    said, is_known = failed.lines[number : number + _AFTER], False
    for pattern, line in _RULES:
        name = canonicalize_name(re.split(r"[<>=]", line, maxsplit=1)[0])
        hint = _ONLY_IF.get(name)
        if hint is not None and not any(hint in one for one in failed.lines[max(0, number - _BEFORE) : number]):
            continue
        if not any(pattern.search(one) for one in said):
            continue
        if not failed.named.get(name, False):
            is_older = ">" in line
            why = f"{name} is {'older' if is_older else 'newer'} than the project: limiting it to {line}"
            return Mend(why, requirements=(line,))
        if (other := _asking_package(failed.lines, number)) is not None and other != name:
            why = f"the pinned {name} does not fit the installed {other}: limiting it to {line}"
            return Mend(why, requirements=(line,))
        if line in IN_SPITE:
            why = f"the pinned {name} lacks what the project imports: limiting it to {line}"
            return Mend(why, requirements=(line,))
        # No newer version has what a rule calls gone.
        is_known = True
    return None if is_known else _mend_pin(failed, number)


def _mend_pin(failed: FailedStart, number: int) -> Mend | None:
    """Return any version of a package, where the pinned one lacks a module or a name that the project imports."""
    module = _named_module(failed, number)
    if module is None or _is_raised_by_package(failed, number):
        return None
    name = canonicalize_name(distribution_of(module)[1])
    if not failed.named.get(name, False):
        return None
    why = f"the pinned {name} lacks what the project imports: using its newest version"
    return Mend(why, requirements=(f"{name}{ANY_VERSION}",))


def _mend_node_options(failed: FailedStart) -> Mend | None:
    """Return the option with which Node has what the program takes for granted; None if it lacks nothing known."""
    if "NODE_OPTIONS" in failed.plan.variables:
        return None
    # What `babel-node` loads before the program.
    if any(_NO_REGENERATOR.search(line) for line in failed.lines):
        option, packages = "--require regenerator-runtime/runtime", ("regenerator-runtime@^0.14.0",)
        why = "Babel's async functions need regenerator-runtime, which no source loads: loading it first"
        return Mend(why, {"NODE_OPTIONS": Variable("NODE_OPTIONS", option, Origin.SUPPLIED)}, packages)
    lacks = any(_NO_WEBSOCKET.search(line) for line in failed.lines)
    if not lacks or not any(_HAS_OPTION.match(line) for line in failed.lines):
        return None
    option = "--experimental-websocket"
    why = f"the program needs WebSocket, which is a part of Node from version 22 on: running it with {option}"
    return Mend(why, {"NODE_OPTIONS": Variable("NODE_OPTIONS", option, Origin.SUPPLIED)})


def _asking_package(lines: Sequence[str], error: int) -> str | None:
    """Return the folder of the installed package in whose frame the error is; None if it is the project's."""
    frame = next((found for one in reversed(lines[:error]) if (found := FRAME.match(one))), None)
    package = None if frame is None else _INSTALLED.search(frame["path"])
    return None if package is None else canonicalize_name(package["name"])


# An API that has changed: the error is raised by a package, or by an import from one.
_CHANGED: Final = re.compile(r"(?:ModuleNotFoundError|ImportError|AttributeError|TypeError): ")
_SITE_PACKAGES: Final = "/site-packages/"
_OF_MODULE: Final = (
    re.compile(r"ImportError: cannot import name '\w{1,100}' from '(?P<module>[A-Za-z_]\w{0,100})[.\w]{0,200}'"),
    re.compile(r"AttributeError: module '(?P<module>[A-Za-z_]\w{0,100})[.\w]{0,200}' has no attribute "),
    # Python names a dotted module only if its first part exists.
    re.compile(r"ModuleNotFoundError: No module named '(?P<module>[A-Za-z_]\w{0,100})\.[.\w]{1,200}'"),
)
# Lines of a frame: its file, the source, and the marks below it.
_FRAME_LINES: Final = 4


def mend_date(failed: FailedStart) -> Mend | None:
    """Return a choice of all packages as of the project's day; None if no day is known, or the error is another one."""
    number = newest_error(failed.lines)
    if number is None or failed.plan.toolchain is not Toolchain.PYTHON or not failed.has_day or failed.plan.is_dated:
        return None
    if not _CHANGED.match(failed.lines[number]):
        return None
    if not _is_raised_by_package(failed, number) and _named_module(failed, number) is None:
        return None
    return Mend("the error comes from a package: choosing all packages as of the project's day", is_dated=True)


def _is_raised_by_package(failed: FailedStart, number: int) -> bool:
    """Return whether the innermost frame above the error belongs to an installed package."""
    above = reversed(failed.lines[max(0, number - _FRAME_LINES) : number])
    frame = next((match for line in above if (match := FRAME.match(line))), None)
    return frame is not None and _SITE_PACKAGES in frame["path"]


def _named_module(failed: FailedStart, number: int) -> str | None:
    """Return the module of a package that the error names: neither the project's own nor Python's; None if none."""
    match = next((found for pattern in _OF_MODULE if (found := pattern.match(failed.lines[number]))), None)
    return None if match is None or match["module"] in failed.own | sys.stdlib_module_names else match["module"]
