"""npm's failures, in its own lines, as sentences."""

# ruff: noqa: E501, ISC004  the lines are as npm prints them

from __future__ import annotations

import pytest

from preview.environments.node.explain import explain_npm
from preview.environments.node.manifest import NodeManifest

REQUIRED = {
    "bcrypt": "3.0.6", "canvas": "2.6.1", "puppeteer": "19.0.0", "node-sass": "^4.14.1", "ms": "2.1.3", "cypress": "9.0.0",
    "express": "catalog:", "@app/db": "workspace:*", "@acme/auth": "^1.2.0", "undici": "8.0.0", "next": "latest version",
    "modal": "https://far.example/modal-1.0.tgz",
}  # fmt: skip

CASES = [
    ("code 1\npath /e/node_modules/bcrypt\ncommand sh -c node-pre-gyp install\n"
     "node-pre-gyp WARN Hit error getaddrinfo ENOTFOUND github.com \n../../nan/nan_callbacks.h:55:23: error: 'x' is not a member of 'v8'\ngyp ERR! not ok",
     "bcrypt@3.0.6 (package.json) could not be built (its C or C++ code does not compile here); choose a version with a prebuilt binary, or one in plain JavaScript"),
    ("code 1\npath /e/node_modules/canvas\nPackage pixman-1 was not found in the pkg-config search path.\ngyp ERR! stack Error: `gyp` failed with exit code: 1",
     "canvas@2.6.1 (package.json) could not be built (the library pixman-1 is missing); choose a version with a prebuilt binary, or one in plain JavaScript, or ask the operator to install it on the service's machine"),
    ("code 1\npath /e/node_modules/puppeteer\nError: getaddrinfo ENOTFOUND storage.googleapis.com\n  code: 'ENOTFOUND',\n}",
     "puppeteer@19.0.0 (package.json) could not be built (its script cannot download from storage.googleapis.com); choose another version, or let builds reach it (PREVIEW_BUILD_HOSTS)"),
    ("gyp ERR! stack pyenv: python2: command not found\ngyp ERR! cwd /e/node_modules/node-sass\ngyp ERR! not ok",
     "node-sass@^4.14.1 (package.json) could not be built (its build needs Python 2); choose a version with a prebuilt binary, or one in plain JavaScript"),
    ("code E404\n404 Not Found - GET registry:/@acme%2fauth\n404\n404  The requested resource '@acme/auth@^1.2.0' could not be found or you do not have permission",
     "@acme/auth@^1.2.0 (package.json) was not found in the package registry; check the spelling, or name a private package's registry in .npmrc of the service's user"),
    ("code E404\n404 Not Found - GET registry:/modal-1.0.tgz\n404\n404  The requested resource 'modal@https://far.example/modal-1.0.tgz' could not be found or you do not have permission",
     "modal@https://far.example/modal-1.0.tgz (package.json) cannot be fetched: nothing is at that address, or the service's machine does not reach it; name a version of the registry"),
    ('code EBADENGINE\nnotsup Not compatible with your version of node/npm: undici@8.0.0\nnotsup Required: {"node":">=22.19.0"}\nnotsup Actual:   {"node":"v20.20.2"}',
     "undici@8.0.0 (package.json) needs Node >=22.19.0, and previews have another one; choose a version for this Node"),
    ('code EUNSUPPORTEDPROTOCOL\nUnsupported URL Type "catalog:": catalog:',
     "npm does not understand express@catalog: (package.json); write a version range"),
    ('code EUNSUPPORTEDPROTOCOL\nUnsupported URL Type "workspace:": workspace:*',
     "npm does not understand @app/db@workspace:* (package.json); write a version range"),
    ('code EINVALIDTAGNAME\nInvalid tag name "latest version" of package "next@latest version": Tags may not have any',
     "next@latest version is not a package and version that npm can read; correct it in package.json"),
    ("code ENOTEMPTY\nsyscall rmdir\npath /e/node_modules/cypress/types\nENOTEMPTY: directory not empty, rmdir '/e/node_modules/cypress/types'",
     "npm could not replace the folder of cypress@9.0.0 (package.json); launch again"),
    ("code ENOENT\nenoent ENOENT: no such file or directory, open '/e/x.tgz'",
     "The file x.tgz, which a requirement names, does not exist; add it, or correct package.json"),
    ("code ENOTFOUND\nnetwork request to https://far.example/x.tgz failed, reason: getaddrinfo ENOTFOUND far.example",
     "far.example cannot be reached, and npm's cache does not hold all that is required; check the network and launch again"),
    ('code ERESOLVE\nFound: react@18.3.1\nnode_modules/react\n\nCould not resolve dependency:\npeer react@"^16.8.0 || ^17.0.0" from @material-ui/core@4.12.4',
     "The requirements contradict each other: @material-ui/core@4.12.4 needs react@^16.8.0 || ^17.0.0, but react@18.3.1 is required too; change one of the versions"),
    ('code EODD\nFailed with {"a": [1, 2]} and more', "The environment could not be built: Failed with (EODD); see the lines above"),
]  # fmt: skip


@pytest.mark.parametrize(("printed", "sentence"), CASES)
def test_a_failure_is_one_sentence_with_package_cause_and_advice(printed: str, sentence: str) -> None:
    lines = [f"npm error {line}" for line in printed.splitlines()]
    found = explain_npm(lines, NodeManifest({".": {"dependencies": REQUIRED}}))
    assert found.message == sentence
    assert len(sentence) <= 300


def test_a_corrupt_package_is_named() -> None:
    lines = [
        "npm warn tarball tarball data for ms@registry:/ms-2.1.3.tgz (sha512-6Fl==) seems to be corrupted. Trying again.",
        "npm error code EINTEGRITY",
    ]
    assert explain_npm(lines, NodeManifest({".": {"dependencies": REQUIRED}})).message.startswith(
        "ms@2.1.3 (package.json)"
    )
