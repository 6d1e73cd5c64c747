#!/usr/bin/env bash
# The README's test command with coverage, told briefly: what failed is named at the end, in the last lines.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

step() { printf '\n== %s\n' "$*"; }

# So many are asked again, each by itself: thousands of tests wait for real processes and browsers on a machine that
# others use as well. What fails twice has failed, and what failed once is named; more of them are no coincidence.
MOST_AGAIN=3

failed() { uv run --no-sync python -c '
import json, pathlib
path = pathlib.Path(".pytest_cache/v/cache/lastfailed")
print(*(json.loads(path.read_text()) if path.is_file() else ()), sep="\n", end="")
'; }

# Adds coverage, of the tests and of the processes that they start. Lines of nothing but dots are left out.
covering() {
    PYTEST_ADDOPTS="--cov --cov-append --cov-report= --cov-fail-under=0 --durations=10" uv run --no-sync pytest "$@" |
        sed -uE '/^[.s]+ *\[ *[0-9]+%\]$/d'
}

rm -f .coverage .coverage.*
step "tests"
# Most tests wait for processes: one more at a time than there are cores keeps those busy.
tested=0
covering -m "not timed" -n $(($(nproc) + 1)) || tested=$?

# With nothing beside them: how long something takes says little on a busy machine.
step "tests that bound a time, one by one"
covering -m timed -n 0 || tested=$?

# What depends on these programs, on a machine that has none of them. Some containers allow no mount: it is said then.
# One at a time: without a network of its own a backend's port is the machine's.
step "tests without bubblewrap, Chromium, nginx and PostgreSQL"
hidden=0
if bash scripts/hidden.sh true 2>/dev/null; then
    env -u PREVIEW_TEST_REQUIRE_POSTGRES -u PREVIEW_TEST_REQUIRE_CHROMIUM -u PREVIEW_TEST_REQUIRE_NGINX \
        bash scripts/hidden.sh uv run --no-sync pytest -q -n 0 -o cache_dir=.pytest_cache/hidden tests/cli/test_cli_confinement.py \
        tests/cli/test_cli_doctor.py tests/cli/test_cli_doctor_isolation.py tests/runtime/test_sandbox_processes.py || hidden=$?
else
    echo "Not run: this machine allows no mounts."
fi

step "coverage"
covered=0
by_file=$(uv run --no-sync coverage report) || covered=$?
if [ "$covered" = 0 ]; then
    grep '^TOTAL' <<<"$by_file"
    echo "By file: uv run coverage report"
else
    echo "$by_file"
fi

mapfile -t once < <(failed)
if [ "$tested" = 1 ] && [ ${#once[@]} -gt 0 ] && [ ${#once[@]} -le $MOST_AGAIN ]; then
    step "failed tests, again, by themselves"
    tested=0
    uv run --no-sync pytest -n 0 -q --tb=short -- "${once[@]}" || tested=$?
    [ "$tested" != 0 ] || printf 'FLAKY: failed once, passed by itself: %s\n' "${once[@]}"
fi
[ "$tested" = 0 ] && [ "$covered" = 0 ] && [ "$hidden" = 0 ]
