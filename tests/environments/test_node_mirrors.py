"""npm's lock files that name a mirror's addresses."""

from __future__ import annotations

import json

import pytest

from preview.environments.node.locks import with_usual_addresses
from preview.environments.way_out.allowed import NODE_REGISTRIES

HASH = "sha512-" + "A" * 86 + "=="
REGISTRY = f"https://{NODE_REGISTRIES[0]}"
USUAL = f"{REGISTRY}/ms/-/ms-2.1.3.tgz"


def entry(resolved: str, **more: str) -> dict[str, str]:
    return {"version": "2.1.3", "resolved": resolved, "integrity": HASH, **more}


def resolved_of(name: str, facts: dict[str, str]) -> str:
    lock = json.dumps({"lockfileVersion": 3, "packages": {f"node_modules/{name}": facts}}).encode()
    found: str = json.loads(with_usual_addresses(lock))["packages"][f"node_modules/{name}"]["resolved"]
    return found


@pytest.mark.parametrize(
    "address",
    [
        "https://mirror.example/repository/npm/ms/-/ms-2.1.3.tgz",
        "https://mirror.example/ms/download/ms-2.1.3.tgz?cache=0&sync_timestamp=1",
        "https://mirror.example/packages/ms/2.1.3/ms-2.1.3.tgz",
    ],
)
def test_a_mirrors_address_becomes_the_usual_one(address: str) -> None:
    assert resolved_of("ms", entry(address)) == USUAL
    assert resolved_of("send/node_modules/ms", entry(address)) == USUAL
    assert resolved_of("alias", entry(address, name="ms")) == USUAL


@pytest.mark.parametrize(
    "address",
    [
        "https://other.example/ms/-/ms-2.1.3.tgz",  # npm replaces the host
        "https://example.com/downloads/ms-2.1.3.tgz",
        "https://mirror.example/npm/ms/files/ms-2.1.3.tgz",
        "https://mirror.example/npm/../-/..-2.1.3.tgz",
        "https://mirror.example/npm/other/-/ms-2.1.3.tgz",
        "git+ssh://git@example.com/npm/ms/-/ms-2.1.3.tgz",
        "https://example.com/ms-2.1.3.tgz",
    ],
)
def test_other_addresses_stay(address: str) -> None:
    assert resolved_of("ms", entry(address)) == address


@pytest.mark.parametrize("integrity", ["", "sha1-x", "sha512-x", "sha-" + "A" * 86, f"{HASH} sha512-x"])
def test_a_package_without_a_hash_keeps_its_address(integrity: str) -> None:
    address = "https://mirror.example/npm/ms/-/ms-2.1.3.tgz"
    assert resolved_of("ms", entry(address, integrity=integrity)) == address


@pytest.mark.parametrize("integrity", ["sha1-" + "A" * 27 + "=", f"sha1-{'A' * 27}= {HASH}"])
def test_a_package_may_have_an_old_hash_or_several(integrity: str) -> None:
    assert resolved_of("ms", entry("https://mirror.example/npm/ms/-/ms-2.1.3.tgz", integrity=integrity)) == USUAL


def test_scopes_and_the_first_format() -> None:
    deep = {"@s/a": entry("https://mirror.example/npm/@s%2fa/-/a-2.1.3.tgz")}
    lock = json.dumps({"lockfileVersion": 1, "dependencies": {"b": {"version": "1.0.0", "dependencies": deep}}})
    found = json.loads(with_usual_addresses(lock.encode()))
    assert found["dependencies"]["b"]["dependencies"]["@s/a"]["resolved"] == (f"{REGISTRY}/@s/a/-/a-2.1.3.tgz")


@pytest.mark.parametrize("lock", [b"", b"[", b"[1]", b'{"packages": {"a": 1}}', b"\xff"])
def test_an_odd_lock_file_stays(lock: bytes) -> None:
    assert with_usual_addresses(lock) == lock
