#!/usr/bin/env bash
# Everything a change of the page must pass, from a fresh clone; ends with 1 too if the built page in the Python package
# is not just what the sources give. It changes no file that the Python tests read, so they may run beside it.
# Usage: scripts/ci-frontend.sh [--packages | --checks]    The packages only, or all but them. Default: both.
set -euo pipefail
cd "$(dirname "$0")/../frontend"
exec </dev/null

step() { printf '\n== page: %s\n' "$*"; }

if [ "${1:-}" != --checks ]; then
    step "packages"
    npm ci --no-audit --no-fund --loglevel=error
    if grep -nE '"resolved"|registry' package-lock.json; then
        echo "package-lock.json names where packages come from; remove it and run npm install in this folder" >&2
        exit 1
    fi
fi
[ "${1:-}" != --packages ] || exit 0

step "client: its types, and the package in Node and Chromium"
bash ../scripts/ci-client.sh

step "library"
npm run --silent build:lib

step "library in fresh applications: React 18 and 19, server rendering, sizes"
KEEP_DIST=1 bash ../scripts/ci-library.sh

step "lint and types"
npm run --silent lint
npm run --silent typecheck

step "tests"
npm test

step "build"
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
npm run --silent build -- --outDir "$built" --emptyOutDir
if ! diff -rq "$built" ../preview/http/static; then
    echo "preview/http/static differs from what frontend/ gives: run 'npm run build' in frontend/ and commit it" >&2
    exit 1
fi
