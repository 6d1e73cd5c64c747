"""Development packages that serve tests, style and publishing: a preview starts without them."""

from __future__ import annotations

import re
from typing import Final

_NAMES: Final = frozenset(
    {"nodemon", "nx", "jest", "mocha", "chai", "nyc", "c8", "ava", "tap", "vitest", "supertest", "sinon", "husky",
     "prettier", "pretty-quick", "commitizen", "cz-conventional-changelog", "standard-version", "release-it",
     "np", "coveralls", "codecov", "apidoc", "typedoc", "jsdoc", "documentation", "opn-cli", "open-cli", "cypress",
     "playwright", "puppeteer", "newman", "snyk", "plop", "depcheck", "npm-check", "npm-check-updates", "tslint",
     "xo", "standard", "semistandard", "faucet", "jasmine", "karma", "ts-jest", "babel-jest", "istanbul", "lint-staged",
     "commitlint", "sonarqube-scanner", "semantic-release", "auto-changelog", "all-contributors-cli", "snazzy", "nsp",
     "storybook", "autocannon", "artillery", "clinic", "0x", "why-is-node-running", "lerna", "turbo", "knip"}
)  # fmt: skip
_FAMILIES: Final = re.compile(
    r"(?:eslint|stylelint|tslint|prettier|jest|mocha|chai|sinon|vitest|karma|cypress|nyc|semantic-release|commitlint)-"
    r"|@(?:eslint|typescript-eslint|commitlint|semantic-release|nx|nrwl|jest|vitest|playwright|cypress|storybook"
    r"|trivago|testing-library|istanbuljs|stryker-mutator|changesets|biomejs)/"
    r"|@types/(?:jest|mocha|chai|sinon|supertest|eslint|prettier|jasmine)\b"
)


def is_tool_for_development(name: str) -> bool:
    """Whether a package that is declared for development alone serves neither a build nor a start."""
    return name == "eslint" or name in _NAMES or _FAMILIES.match(name) is not None
