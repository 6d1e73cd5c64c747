#!/usr/bin/env bash
# The README's test command, told briefly: what failed is named at the end, in the last lines.
# Usage: scripts/ci-tests.sh [PATH...]; with paths, these tests alone.
# PREVIEW_CI_BESIDE has pids of what may run beside the first tests only.
# With PREVIEW_TEST_COVERAGE=1 also the coverage of preview/, a fifth slower: without paths it fails below the least.
set -euo pipefail
cd "$(dirname "$0")/.."
exec </dev/null

step() { printf '\n== %s\n' "$*"; }

# So many are asked again, each by itself: thousands of tests wait for real processes and browsers on a machine that
# others use as well. What fails twice has failed, and what failed once is named; more of them are no coincidence.
MOST_AGAIN=10

# The tests that failed last, according to this cache; one a line.
failed() { uv run --no-sync python -c '
import json, pathlib, sys
path = pathlib.Path(sys.argv[1], "v/cache/lastfailed")
print(*(json.loads(path.read_text()) if path.is_file() else ()), sep="\n", end="")
' "$1"; }

options="--durations=10"
# Of the tests and of the processes that they start.
[ -z "${PREVIEW_TEST_COVERAGE:-}" ] || options+=" --cov --cov-append --cov-report= --cov-fail-under=0"

# Lines of nothing but dots are left out.
tests() {
    PYTEST_ADDOPTS=$options uv run --no-sync pytest "$@" | sed -uE '/^[.s]+ *\[ *[0-9]+%\]$/d'
}

rm -f .coverage .coverage.*
as_root=$([ $# = 0 ] && [ "$(id -u)" = 0 ] && echo yes) || true
if [ -n "$as_root" ]; then
    rm -rf .pytest_cache/user
    # The ordinary user's checkout and packages take a minute or two, mostly waiting. Without this shell it goes away.
    { coproc user_tests { PREVIEW_CI_WAITS=1 bash scripts/ci-user.sh >&4 2>&1 4>&-; }; } 4>&1
    preparing=$! go=${user_tests[1]:-}
fi
step "tests"
# Most tests wait for processes: one more at a time than there are cores keeps those busy.
tested=0
tests -m "not timed and not long" -n $(($(nproc) + 1)) "$@" || tested=$?

# With nothing beside them: how long something takes says little on a busy machine.
for one in ${PREVIEW_CI_BESIDE:-}; do tail --pid="$one" -f /dev/null; done
step "tests that bound a time, one by one"
# Their files alone: to collect all tests takes a core for twenty seconds (tests/test_house.py: the mark stands there).
timed=("$@")
[ $# -gt 0 ] || mapfile -t timed < <(grep -rl --include="test_*.py" "mark\.timed" tests | sort)
# 5: there are none in these paths.
tests -m "timed and not long" -n 0 "${timed[@]}" || { code=$? && [ "$code" = 5 ] || tested=$code; }

as_user=0 covered=0
if [ $# = 0 ]; then
    step "tests that depend on the user, as an ordinary user"
    if [ -n "$as_root" ]; then
        # It may have ended already.
        trap '' PIPE
        { echo >&"$go"; } 2>/dev/null || true
        trap - PIPE
        wait "$preparing" || as_user=$?
    else
        echo "Not run again: all tests ran as one."
    fi

    if [ -n "${PREVIEW_TEST_COVERAGE:-}" ]; then
        step "coverage"
        by_file=$(uv run --no-sync coverage report) || covered=$?
        if [ "$covered" = 0 ]; then
            grep '^TOTAL' <<<"$by_file"
            echo "By file: uv run coverage report"
        else
            echo "$by_file"
        fi
    fi
fi

mapfile -t once < <(failed .pytest_cache)
if [ "$tested" = 1 ] && [ ${#once[@]} -gt 0 ] && [ ${#once[@]} -le $MOST_AGAIN ]; then
    step "failed tests, again, by themselves"
    tested=0
    uv run --no-sync pytest -n 0 -q --tb=short -- "${once[@]}" || tested=$?
    [ "$tested" != 0 ] || printf 'FLAKY: failed once, passed by itself: %s\n' "${once[@]}"
fi
mapfile -t once < <(failed .pytest_cache/user)
[ "$as_user" = 0 ] || printf 'FAILED as an ordinary user: %s\n' "${once[@]}"
[ "$tested" = 0 ] && [ "$as_user" = 0 ] && [ "$covered" = 0 ]
