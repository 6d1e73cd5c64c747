# ruff: noqa: E501  JavaScript stands as it would be written
from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from express_project_kit import APP, in_app, of, project
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preview.endpoints import extract, extract_endpoints
from preview.sources.javascript import read_literal
from preview.sources.node_scripts import split_commands

# Not proof against everything, but far more than any of these may take.
SOON_S = 10.0
HOSTILE = {
    "a function that calls itself": "function f() { f(); f(); app.get('/b', h) }\nf()",
    "functions that call each other": "const f = () => { g(); g() }, g = () => { f(); f() };\nf()",
    "a loop without an end": "while (true) { app.use(h) }\nfor (;;) { app.use(h) }",
    "a string that doubles itself": "let s = '/b'; for (let i = 0; i < 99; i++) { s = s + s }\napp.get(s, h)",
    "an array that doubles itself": "let a = [1, 2]; for (let i = 0; i < 99; i++) { a = a.concat(a) }",
    "an array that holds itself": "const a = []; a.push(a); app.use(a); app.get(a, h)",
    "an object that holds itself": "const o = {}; o.o = o; const {...p} = o; app.use(o.o.o.o)",
    "a class that extends itself": "class A extends B {}\nclass B extends A {}\nnew A().x()",
    "a getter that reads itself": "const o = { get x() { return this.x } }; app.use(o.x)",
    "a module that requires itself": "app.use(require('./app'))",
    "a number beyond all": "const n = 1e999 * 10 ** 999; app.get(`/${n}${9999999999999999999999}`, h)",
    "a wild expression": "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.replace(/(a+)+$/, 'x')",
    "half a character": "app.get('\\ud800/\\u{ffffffff}', h)",
    "loops within loops": "const l = [...Array(99).keys()]; for (const a of 'abcdefghij') for (const b of 'abcdefghij')"
    " for (const c of 'abcdefghij') for (const d of 'abcdefghij') for (const e of 'abcdefghij') app.use(h)",
}  # fmt: skip
WORDS = st.sampled_from(
    ["app", "express", "(", ")", "{", "}", "[", "]", "=>", "'/a'", "`${", "}`", ".get", ".use", ".route", "require", "class",
     "extends", "new", "function", "async", "await", "import", "export", "default", "from", "const", "x", "=", ",", ";", "...",
     "this", "super", "return", "for", "of", "in", "if", "else", "while", "try", "@Get", "/re/", "?.", "&&", "||", "'./app'", "1"]
)  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_an_end_is_found_with(tmp_path: Path, case: str) -> None:
    started = time.process_time()
    found = in_app(tmp_path, f"app.get('/a', h);\n{HOSTILE[case]}\n")
    assert time.process_time() - started < SOON_S
    assert "GET /a" in found


@pytest.mark.parametrize(
    "source",
    [
        "[" * 5_000 + "]" * 5_000,
        "(" * 5_000 + ")" * 5_000,
        "f(" * 5_000 + ")" * 5_000,
        "!" * 20_000 + "1",
        "x" + " + 'a'" * 20_000,
        "app" + ".use(h)" * 5_000,
        "{" * 5_000,
        "if (a) " * 5_000 + "b",
        "`${" * 5_000,
    ],
    ids=lambda text: text[:8],
)
def test_nesting_without_end_is_survived(tmp_path: Path, source: str) -> None:
    assert "GET /a" in in_app(tmp_path, f"app.get('/a', h);\n{source}\n")


def test_modules_in_a_long_chain_are_survived(tmp_path: Path) -> None:
    files = {f"m{number}.js": f"module.exports = require('./m{number + 1}')" for number in range(400)}
    found = of(tmp_path, {**files, "app.js": f"{APP}app.get('/a', h); app.use(require('./m0'))"})
    assert found == ["GET /a"]


def test_what_is_not_understood_is_named_and_the_rest_read(tmp_path: Path) -> None:
    files = {
        "app.js": f"{APP}app.use('/x', require('./bad')); app.use('/y', require('./good'))",
        "bad.js": "const r = require('express').Router();\nr.get('/a', h);\nr.post('/b' => {{{ ] express );\n",
        "good.js": "const r = module.exports = require('express').Router(); r.get('/a', h)",
    }
    found = extract(project(tmp_path, files))
    assert "GET /y/a" in [f"{item.method} {item.path}" for item in found.endpoints]
    assert list(found.skipped) == ["bad.js"]
    assert found.skipped["bad.js"].endswith("not understood, the rest was read")


def test_a_file_that_no_one_needs_is_not_read(tmp_path: Path) -> None:
    files = {"app.js": f"{APP}app.get('/a', h)", "broken.js": "app.get('/b' => {{{ ] express )"}
    assert extract(project(tmp_path, files)).skipped == {}


def test_a_bundle_is_named_and_not_parsed(tmp_path: Path) -> None:
    files = {"app.js": f"{APP}app.get('/a', h); require('./bundle')", "bundle.js": "x = 1;\n" * 100_000}
    found = extract(project(tmp_path, files))
    assert [item.path for item in found.endpoints] == ["/a"]
    assert "bundler" in found.skipped["bundle.js"]


@pytest.mark.timed
def test_two_thousand_files_take_less_than_three_seconds(tmp_path: Path) -> None:
    router = "const r = require('express').Router();\n" + "".join(
        f"/** Number {number}. */\nr.get('/r{number}/:id', async (req, res) => {{ res.json(await find(req.params.id)) }});\n"
        for number in range(2)
    )
    files = {f"routes/r{number}.js": f"{router}module.exports = r" for number in range(2_000)}
    mounts = "".join(f"app.use('/m{number}', require('./routes/r{number}'));\n" for number in range(2_000))
    folder = project(tmp_path, {**files, "app.js": APP + mounts})
    started = time.process_time()
    found = extract_endpoints(folder)
    assert len(found) == 4_000
    assert time.process_time() - started < 3.0


def test_a_project_that_is_too_large_is_said_to_be_incomplete(tmp_path: Path) -> None:
    loops = "for (const a of list) " * 3
    source = f"app.get('/a', h); const list = [...'abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz']; {loops} app.use(h)"
    found = extract(project(tmp_path, {"app.js": APP + source}))
    assert not found.complete
    assert [item.path for item in found.endpoints] == ["/a"]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.text(max_size=300), st.lists(WORDS, max_size=60).map(" ".join)), st.sampled_from(["js", "ts"]))
def test_any_text_is_survived(text: str, suffix: str) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        package = f'{{"main": "app.{suffix}", "dependencies": {{"express": "4"}}}}'
        (folder / "package.json").write_text(package)
        (folder / f"app.{suffix}").write_text(f"{APP}{text}", encoding="utf-8", errors="replace")
        started = time.process_time()
        extract(folder)
        assert time.process_time() - started < SOON_S


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_script_is_split(text: str) -> None:
    for command in split_commands(text):
        assert command


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_literal_or_none(data: bytes) -> None:
    read_literal(data)


def test_comments_and_commas_of_tsconfig_are_read() -> None:
    text = b'\xef\xbb\xbf{ // one\n "a": [1, true, null,], /* two */ "b": {"c": "x\\/y"}, }'
    assert read_literal(text) == {"a": [1, True, None], "b": {"c": "x/y"}}


def test_an_env_file_that_is_none_is_survived_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {".env": "= =\nA='\n{\nPREFIX=/x\n", "app.js": f"{APP}app.get(process.env.PREFIX + '/a', h)"}
    assert of(tmp_path, files) == ["GET /x/a"]
    assert caplog.records == []
