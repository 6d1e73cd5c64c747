#!/bin/sh
# Starts or updates the stack. Run it on a manager of the swarm: docker swarm init
set -eu
cd "$(dirname "$0")"
{% if own_postgres %}
# PostgreSQL's data is on one machine: this one, unless another has the label.
if [ -z "$(docker node ls --quiet --filter node.label=preview.postgres=yes)" ]; then
    docker node update --label-add preview.postgres=yes "$(docker info --format '{{ "{{.Swarm.NodeID}}" }}')" >/dev/null
fi
{% endif %}
{% if tls == "caddy" %}
CADDYFILE_HASH=-$(sha256sum Caddyfile | cut -c 1-12)
export CADDYFILE_HASH
{% endif %}
exec docker stack deploy --compose-file stack.yaml preview
