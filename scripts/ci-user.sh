#!/usr/bin/env bash
# Runs tests as an ordinary user: makes one, gives it a copy of this checkout, and removes both. For root.
# Usage: scripts/ci-user.sh [PATH...]; without paths, the tests whose result depends on the user.
# With PREVIEW_CI_WAITS=1 it prepares all that, and has the tests begin when its input has a line; without one it ends.
# Which tests failed is left in .pytest_cache/user; with PREVIEW_TEST_COVERAGE=1 coverage is added to .coverage.
set -euo pipefail
cd "$(dirname "$0")/.."
exec 3<&0 </dev/null

tests=("$@")
[ $# -gt 0 ] || tests=(
    tests/backing/test_backing_contract.py tests/runtime tests/hostile
    --ignore=tests/hostile/test_hostile_files.py --ignore=tests/hostile/test_hostile_protocol.py
    # What the launchers do inside of a preview is the same for each user.
    --ignore-glob="tests/runtime/test_launchers_*.py"
    tests/launch/test_launch_{data,data_hostile,databases,limits,network,node_build,own_ports,own_templates,warm}.py
    tests/environments/test_environment_jail.py tests/environments/test_build_network.py
    tests/cli/test_cli_confinement.py tests/cli/test_cli_doctor.py tests/cli/test_cli_doctor_isolation.py
    tests/cli/test_cli_own_range.py tests/cli/test_cli_run.py tests/test_private.py tests/test_removal.py
    # Hostile programs on Podman take half a minute: root's run has them, and tests/runtime/test_podman.py those of users.
    # Of `preview run`, root's run has what no user changes.
    -k "not (podman and hostile or time_is_over or second_signal or reader_that_goes_away or two_runs_at_once or dies_is)"
)

# Short: it is part of the path of each socket.
user=pv$$
folder=$(mktemp -d -p /tmp)
checkout=$folder/checkout

# Everything that belongs to the user: processes, files (also those in shared folders), and the account.
remove() {
    if id "$user" >/dev/null 2>&1; then
        # kill(2): -1 means every process that the sender may signal, here those of this user, except the sender.
        as_user bash -c 'kill -KILL -1' || true
        find /tmp /var/tmp /dev/shm -maxdepth 1 -user "$user" -exec rm -rf {} + 2>/dev/null || true
        userdel --force "$user" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap remove EXIT

# Without what lies in root's home, which the user cannot read.
as_user() (
    for name in $(compgen -e); do
        [[ ${!name} != *"$HOME"/* ]] || unset "$name"
    done
    unset TMPDIR XDG_RUNTIME_DIR
    export HOME=$folder/home USER=$user LOGNAME=$user PATH=$folder/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
    export UV_PYTHON_INSTALL_DIR=$folder/python
    cd /
    exec setpriv --reuid="$user" --regid="$user" --init-groups "$@"
)

useradd --user-group --no-create-home --home-dir "$folder/home" --shell /bin/bash "$user"
# A range of ids, so that each preview has its own user; useradd gives one only where /etc/login.defs says so.
for file in uid gid; do
    grep -qs "^$user:" "/etc/sub$file" && continue
    first=$(awk -F: '$2 + $3 > first { first = $2 + $3 } END { print first }' first=100000 <(cat "/etc/sub$file" || true))
    usermod "--add-sub${file}s" "$first-$((first + 65535))" "$user"
done
mkdir "$checkout" "$folder/bin" "$folder/home" "$folder/home/.cache"
# uv and the packages that it downloaded, as neither may be readable for the user. Where the machine has other uses, its
# cache can have tens of gigabytes, which takes a minute to count: then the user downloads what it needs.
MOST_COPIED_MIB=4096
cp "$(uv run --no-sync python -c 'import uv; print(uv.find_uv_bin())')" "$folder/bin/uv"
cache=$(uv cache dir)
size=$(timeout 10 du -sm "$cache" | cut -f1) || size=
[ -z "$size" ] || [ "$size" -gt "$MOST_COPIED_MIB" ] || cp -r "$cache" "$folder/home/.cache/uv"
git ls-files -z --cached --others --exclude-standard --deduplicate |
    while IFS= read -rd '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar --create --null --files-from=- | tar --extract --directory="$checkout"
chown -R "$user:$user" "$folder"
as_user uv sync --quiet --project "$checkout"
[ -z "${PREVIEW_CI_WAITS:-}" ] || read -r _ <&3 || exit 1
exec 3<&-

failed=0
as_user bash "$checkout/scripts/ci-tests.sh" "${tests[@]}" || failed=$?

mkdir -p .pytest_cache/user
[ ! -d "$checkout/.pytest_cache/v" ] || cp -r "$checkout/.pytest_cache/v" .pytest_cache/user/
[ -z "${PREVIEW_TEST_COVERAGE:-}" ] ||
    uv run --no-sync coverage combine --quiet --append "$checkout/.coverage" || failed=$?
exit "$failed"
