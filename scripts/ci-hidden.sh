#!/usr/bin/env bash
# What depends on bubblewrap, Chromium, nginx and PostgreSQL, on a machine that has none of them.
# Some containers allow no mount: it is said then. One test at a time: without a network of its own a backend's port is
# the machine's.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null
if ! bash scripts/hidden.sh true 2>/dev/null; then
    echo "Not run: this machine allows no mounts."
    exit 0
fi
env -u PREVIEW_TEST_REQUIRE_POSTGRES -u PREVIEW_TEST_REQUIRE_CHROMIUM -u PREVIEW_TEST_REQUIRE_NGINX \
    -u PREVIEW_TEST_REQUIRE_SERVERS \
    bash scripts/hidden.sh uv run --no-sync pytest -q -n 0 -o cache_dir=.pytest_cache/hidden \
    tests/cli/test_cli_confinement.py tests/cli/test_cli_doctor.py tests/cli/test_cli_doctor_isolation.py \
    tests/runtime/test_sandbox_processes.py
