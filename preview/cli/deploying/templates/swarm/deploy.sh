#!/bin/sh
# Starts or updates the stack. Run it on a manager of the swarm: docker swarm init
# An update goes from node to node: each is drained, updated and waited for. Give a new image a new name or tag; a node
# whose files are the same is left alone, unless the option is --all.
set -eu
cd "$(dirname "$0")"
{% if own_postgres %}
# PostgreSQL's data is on one machine: this one, unless another has the label.
if [ -z "$(docker node ls --quiet --filter node.label=preview.postgres=yes)" ]; then
    docker node update --label-add preview.postgres=yes "$(docker info --format '{{ "{{.Swarm.NodeID}}" }}')" >/dev/null
fi
{% endif %}
hash() {
    sum=$(sha256sum <"$1")
    printf -- '-%.12s' "$sum"
}
{% for name, file in secret_files.items() %}
{{ name | upper | replace("-", "_") }}_HASH=$(hash "{{ file }}")
export {{ name | upper | replace("-", "_") }}_HASH
{% endfor %}
{% if tls == "caddy" %}
CADDYFILE_HASH=$(hash Caddyfile)
export CADDYFILE_HASH
{% endif %}

deploy() { docker stack deploy --compose-file stack.yaml "$@" preview; }
inspect() { docker service inspect --format "$1" "preview_$2" 2>/dev/null; }
# All that a node is made of.
FILES_HASH=$(cat nodes/*.yaml preview.env | sha256sum | cut -c 1-12){% for name in secrets %}${{ name | upper | replace("-", "_") }}_HASH{% endfor %}

export FILES_HASH

# Asks the node itself, from within the stack's network; waits up to five minutes until it has no previews.
DRAIN='
address=$(getent hosts "$0" | cut -d " " -f 1)
export PREVIEW_DATA_DIR=/tmp/data PREVIEW_URL="http://$address:8000"
export PREVIEW_TOKEN="${PREVIEW_TOKEN:-$(preview token {{ operator }} | tail -n 1)}"
preview nodes drain "$0" --yes || exit 0
for _ in $(seq 100); do
    if preview nodes ls | grep -Eq "^ *$0 +draining +0 of "; then echo "$0 is empty"; exit 0; fi
    sleep 3
done
echo "previews are left on $0; they end with it"
'
drain() {
    docker service rm preview_drain >/dev/null 2>&1 || true
    timeout 400 docker service create --name preview_drain --detach=false --quiet --no-healthcheck \
        --mode replicated-job --restart-condition none \
        --network preview_nodes --env-file preview.env --env "PREVIEW_TOKEN=${PREVIEW_TOKEN:-}" --user 10001 \
        --env PREVIEW_NODE_NAME=drain --env PREVIEW_NODE_ADDRESS=drain:7000 \
{% for name in secrets %}
        --secret "source=preview-{{ name }}${{ name | upper | replace("-", "_") }}_HASH,target={{ name }}" \
{% endfor %}
        --entrypoint sh "$(inspect '{{ "{{.Spec.TaskTemplate.ContainerSpec.Image}}" }}' "$1")" -c "$DRAIN" "$1" >/dev/null \
        || echo "$1 was not drained: its previews end"
    docker service logs --raw preview_drain || true
    docker service rm preview_drain >/dev/null || true
}

if ! inspect started {{ node_names[0] }} >/dev/null; then
    deploy{% for node in node_names %} --compose-file nodes/{{ node }}.yaml{% endfor %}

    exit
fi
deploy
# The tables of the new version come before its nodes. Tasks of earlier images do not count.
echo "migrating the database"
image=$(inspect '{{ "{{.Spec.TaskTemplate.ContainerSpec.Image}}" }}' migrate)
tries=150
until docker service ps --no-trunc --format '{{ "{{.Image}} {{.CurrentState}}" }}' preview_migrate | grep -qF "$image Complete"; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
        echo "the database was not migrated: docker service logs preview_migrate" >&2
        exit 1
    fi
    sleep 2
done
for node in {{ node_names | join(" ") }}; do
    if [ "$(inspect '{{ '{{index .Spec.Labels "preview.files"}}' }}' "$node")" = "$FILES_HASH" ] && [ "${1:-}" != --all ]; then
        echo "$node is up to date"
        continue
    fi
    # A new one has no previews.
    if inspect known "$node" >/dev/null; then drain "$node"; fi
    deploy --compose-file "nodes/$node.yaml"
    # Waits until it is healthy; if it does not become so, the other nodes stay as they are. `docker service update`
    # would do so too, but sorts the mounts: Swarm then starts the node a second time.
    docker service scale --detach=false "preview_$node=1" >/dev/null
done
