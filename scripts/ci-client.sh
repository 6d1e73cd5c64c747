#!/usr/bin/env bash
# Everything a change of the TypeScript client must pass: its types are those of the OpenAPI document, and the packed
# package works in a fresh application, in Node and in Chromium, against a real service, as does the SDK of E2B. After `npm ci` in frontend/.
# Usage: bash scripts/ci-client.sh [--types]    With --types, the generated types are renewed and nothing else is done.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD client=$PWD/clients/typescript
cd "$client"
npm ci --no-audit --no-fund --loglevel=error
if grep -nE '"resolved"|registry' package-lock.json; then
    echo "package-lock.json names where packages come from; remove it and run npm install in this folder" >&2
    exit 1
fi
types=$root/frontend/src/client/schema.ts
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$root" && uv run --no-sync python scripts/openapi.py --schemas) >openapi.json
npm run --silent types -- --output "$work/schema.ts" >"$work/said" 2>&1 || { cat "$work/said" >&2; exit 1; }
[ "${1:-}" != --types ] || { cp "$work/schema.ts" "$types"; exit 0; }
if ! cmp -s "$types" "$work/schema.ts"; then
    echo "frontend/src/client/schema.ts differs from the OpenAPI document: run 'bash scripts/ci-client.sh --types' and commit it" >&2
    exit 1
fi
rm -rf dist
npm run --silent build
tarball=$work/$(npm pack --silent --pack-destination "$work")
cp -r tests "$work/app"
cd "$work/app"
npm install --silent --no-audit --no-fund "$tarball" e2b@2.51.0
"$client/node_modules/.bin/tsc" -p tsconfig.json
cd "$root"
PREVIEW_E2B=true CLIENT_APP=$work/app PLAYWRIGHT_FROM=$root/frontend/package.json uv run --no-sync python scripts/with_service.py \
    node --test --test-concurrency=1 --test-reporter=spec "$work/app/service.test.mjs" "$work/app/e2b.test.mjs" >"$work/said" 2>&1 ||
    { cat "$work/said" >&2; exit 1; }
grep -E "^(✔|ℹ (tests|pass|duration))" "$work/said"
