#!/usr/bin/env bash
# Runs a command where bubblewrap, Chromium, nginx, container engines and the servers of previews are hidden, as on a fresh machine.
# Usage: scripts/hidden.sh COMMAND...
set -euo pipefail
if [ "${PREVIEW_HIDDEN:-}" != 1 ]; then
    [ "$(id -u)" = 0 ] || exec unshare --user --map-root-user --mount env PREVIEW_HIDDEN=1 "$0" "$@"
    exec unshare --mount env PREVIEW_HIDDEN=1 "$0" "$@"
fi
unset PREVIEW_HIDDEN
empty=$(mktemp -d)
mount -t tmpfs none "$empty"
mkdir "$empty/none"
touch "$empty/nothing"
# A file that cannot be executed is no program.
for program in bwrap chromium nginx psql postgres pg_ctl mariadbd redis-server valkey-server docker dockerd podman prometheus; do
    for path in $(type -aP "$program" || true) "/usr/sbin/$program"; do
        [ ! -e "$path" ] || mount --bind "$empty/nothing" "$(readlink -f "$path")"
    done
done
for folder in /usr/lib/postgresql; do
    [ ! -d "$folder" ] || mount --bind "$empty/none" "$folder"
done
exec "$@"
