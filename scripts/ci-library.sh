#!/usr/bin/env bash
# Install the packed React library in fresh applications: React 18 and 19, built by Vite, rendered on a server,
# measured, hydrated in Chromium.
# Usage: bash scripts/ci-library.sh [MAJOR …]    Default: 18 19
set -euo pipefail
cd "$(dirname "$0")/../frontend"
frontend=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -n "${KEEP_DIST:-}" ] || npm run --silent build:lib >/dev/null 2>&1
tarball=$work/$(npm pack --silent --pack-destination "$work")
files=$(tar -tzf "$tarball")
for name in README.md LICENSE CHANGELOG.md dist/preview-react.layer.css dist/preview-react.strict.css dist/lib/index.d.ts; do
  grep -qx "package/$name" <<<"$files" || { echo "the package lacks $name"; exit 1; }
done
# To its end: a reader that stops earlier would let tar fail.
first=$(tar -xOzf "$tarball" package/dist/preview-react.js | sed -n 1p)
[[ $first == '"use client"'* ]] || { echo "a server would run it"; exit 1; }
for major in "${@:-18 19}"; do
  for version in $major; do
    app=$work/react$version
    cp -r tests/fresh "$app"
    (
      cd "$app"
      npm install --silent --no-audit --no-fund "react@^$version" "react-dom@^$version" "vite@^8" "$tarball"
      npx vite build --logLevel error
      npx vite build --logLevel error --ssr server.jsx --outDir server
      node check.mjs "$version"
      # React warns in development only.
      NODE_ENV=development npx vite build --logLevel error --mode development --outDir dist-dev --minify false
      NODE_ENV=development npx vite build --logLevel error --mode development --ssr server.jsx --outDir server
      NODE_ENV=development PLAYWRIGHT_FROM="$frontend/package.json" node look.mjs "$version"
    )
  done
done
