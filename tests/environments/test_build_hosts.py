"""Which hosts builds may reach, as the operator's variables and settings files name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from preview.environments.way_out.allowed import DEFAULT_HOSTS, PYTHON_INDEX, parse_address, read_allowed
from preview.errors import ConfigurationError
from preview.settings import load_settings


@pytest.mark.parametrize(
    ("variable", "value", "there"),
    [
        ("UV_DEFAULT_INDEX", "https://index.example/simple", ("index.example", 443)),
        ("UV_INDEX_URL", "http://127.0.0.1:3141/root", ("127.0.0.1", 3141)),
        ("UV_INDEX", "own=https://a.example/x other=https://u:p@B.example:8443/", ("b.example", 8443)),
        ("UV_EXTRA_INDEX_URL", "https://a.example https://[fd00::7]:8080/simple", ("fd00::7", 8080)),
        ("UV_FIND_LINKS", "https://a.example/files,/opt/wheels", ("a.example", 443)),
        ("npm_config_registry", "http://localhost:4873/", ("localhost", 4873)),
        ("NPM_CONFIG_REGISTRY", "https://npm.example", ("npm.example", 443)),
        ("PRISMA_ENGINES_MIRROR", "https://engines.example", ("engines.example", 443)),
    ],
)
def test_an_index_that_a_variable_names_is_allowed_on_its_port_alone(
    variable: str, value: str, there: tuple[str, int]
) -> None:
    allowed = read_allowed({variable: value}, ())
    assert allowed.allows(*there)
    assert not allowed.allows(there[0], there[1] + 1)
    address = parse_address("10.0.0.1")
    assert address is not None
    assert allowed.allows_address(there[0], address, there[1])


@pytest.mark.parametrize(
    "variable", ["HTTPS_PROXY", "npm_config_https_proxy", "npm_config_proxy", "npm_config_user_agent", "UV_PUBLISH_URL"]
)
def test_what_a_variable_names_for_another_purpose_is_no_index(variable: str) -> None:
    assert read_allowed({variable: "http://proxy.example:3128"}, ()).indexes == frozenset()


@pytest.mark.parametrize(
    ("name", "text", "host"),
    [
        (".config/uv/uv.toml", 'index-url = "https://a.example/simple"\n', "a.example"),
        (".config/uv/uv.toml", '[[index]]\nname = "own"\nurl = "https://a.example/simple"\n', "a.example"),
        (".config/uv/uv.toml", '[pip]\nextra-index-url = ["https://a.example/simple"]\n', "a.example"),
        (".npmrc", "registry=https://a.example/\n", "a.example"),
        (".npmrc", "@corp:registry = https://a.example/npm\n", "a.example"),
        (".npmrc", "registry=https://${HOST_OF_NPM}/\n", "a.example"),
    ],
)
def test_an_index_in_a_settings_file_of_the_operator_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, host: str
) -> None:
    monkeypatch.setenv("HOST_OF_NPM", "a.example")
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    assert read_allowed({"HOME": str(tmp_path)}, ()).indexes == {(host, 443)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".config/uv/uv.toml", 'index-url = "https://a.example'),
        (".config/uv/uv.toml", 'https-proxy = "http://a.example"\n'),
        (".config/uv/uv.toml", 'publish-url = "https://a.example"\n'),
        (".npmrc", "; registry=https://a.example/\n# registry=https://a.example/\nproxy=http://a.example\n"),
        (".npmrc", "//b.example/:_authToken=https://a.example\n"),
        (".npmrc", "registry=https://[a.example\nregistry=https://a.example:x/\n"),
    ],
)
def test_what_is_no_index_in_a_settings_file_is_not_allowed(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(text)
    assert read_allowed({"HOME": str(tmp_path)}, ()).indexes == frozenset()


def test_the_public_indexes_are_allowed_without_any_setting() -> None:
    allowed = read_allowed({}, ())
    assert all(allowed.allows(*one) for one in DEFAULT_HOSTS)
    assert not allowed.allows("github.com", 443)
    assert not allowed.allows(PYTHON_INDEX, 80)


def test_the_setting_adds_hosts() -> None:
    settings = load_settings(build_hosts="GitHub.com, git.internal:8443,10.0.0.7,[fd00::7]:80, last.example.:443")
    assert settings.build_hosts == (
        "github.com:443", "git.internal:8443", "10.0.0.7:443", "fd00::7:80", "last.example:443",
    )  # fmt: skip
    allowed = read_allowed({}, settings.build_hosts)
    for there in (("github.com", 443), ("git.internal", 8443), ("10.0.0.7", 443), ("fd00::7", 80)):
        assert allowed.allows(*there)
    assert not allowed.any_public
    assert read_allowed({}, load_settings(build_hosts="*").build_hosts).any_public


@pytest.mark.parametrize(
    "value", ["https://a.example", "a.example/x", "a b", "a:0", "a:65536", "1.2.3", "[x]:1", "*.a"]
)
def test_a_host_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_BUILD_HOSTS"):
        load_settings(build_hosts=value)
