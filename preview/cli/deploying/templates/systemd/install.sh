#!/bin/sh
# Installs the service on this machine: sudo sh install.sh [WHEEL-OR-CHECKOUT]
# It may run again after a change of these files. It asks nothing, and removes nothing.
set -eu
cd "$(dirname "$0")"
[ "$(id -u)" = 0 ] || { echo "run this as root" >&2; exit 1; }

if command -v apt-get >/dev/null; then
    install_packages() {
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            python3-venv bubblewrap libseccomp2 util-linux{{ " postgresql" if database == "postgresql" }}{{ " " + tls if tls != "none" }} >/dev/null
    }
    # The list of packages may be old, or missing.
    install_packages || { apt-get update -qq && install_packages; }
fi
if [ ! -x /opt/preview/bin/preview ] || [ $# -gt 0 ]; then
    [ $# -gt 0 ] || { echo "name the package: sudo sh install.sh WHEEL-OR-CHECKOUT" >&2; exit 1; }
    python3 -m venv /opt/preview
    /opt/preview/bin/python -m pip install --quiet "$1"
fi

id preview >/dev/null 2>&1 || useradd --system --home-dir /var/lib/preview --shell /usr/sbin/nologin preview
install -d -m 0750 -g preview /etc/preview
install -m 0640 -g preview preview.env /etc/preview/preview.env
{% if entry == "secret" %}
[ -e /etc/preview/jwt-secret ] || install -m 0600 jwt-secret /etc/preview/jwt-secret
{% endif %}
{% if database == "postgresql" %}
systemctl start postgresql
runuser -u postgres -- psql -tAc "SELECT 1 FROM pg_roles WHERE rolname = 'preview'" | grep -q 1 ||
    runuser -u postgres -- createuser preview
runuser -u postgres -- psql -tAc "SELECT 1 FROM pg_database WHERE datname = 'preview'" | grep -q 1 ||
    runuser -u postgres -- createdb --owner preview --encoding UTF8 --template template0 preview
{% endif %}
install -m 0644 preview.socket preview.service preview-backup.service preview-backup.timer /etc/systemd/system/
systemctl daemon-reload
# A service that has opened the address itself, from an earlier installation, keeps the socket from it.
systemctl is-active --quiet preview.socket || systemctl stop preview.service
systemctl enable --now preview.socket preview.service preview-backup.timer
systemctl restart preview.service
{% if tls == "nginx" %}
install -m 0644 nginx.conf /etc/nginx/conf.d/preview.conf
nginx -t
systemctl restart nginx
{% elif tls == "caddy" %}
install -m 0644 Caddyfile /etc/caddy/Caddyfile
systemctl restart caddy
{% endif %}
echo "the service runs: {{ url }}"
{% if entry in ("tokens", "oidc") %}
echo "the first operator's token, valid for a day:"
cd /var/lib/preview
runuser -u preview -- env PREVIEW_DATA_DIR=/var/lib/preview /opt/preview/bin/preview token {{ operator }} --ttl 86400
{% endif %}
