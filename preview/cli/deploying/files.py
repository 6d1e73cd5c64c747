"""The files of a deployment, made from the templates beside this module."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from preview.cli.deploying.choices import INTERNAL, Deployment
from preview.cli.exits import CommandFailed
from preview.core.quoting import quoted

_TEMPLATES = Path(__file__).parent / "templates"
# In a package they are beside this module; in a checkout in its folder ``deploy``.
_SHIPPED = (Path(__file__).parent / "shipped", Path(__file__).parents[3] / "deploy")
_SUBNET = "172.30.84.0/24"
_OWN_POSTGRES = {
    # The peer's name decides: the unit's user is the role.
    "systemd": "postgresql://preview@/preview?host=/var/run/postgresql",
    "compose": "postgresql://preview:{password}@postgres/preview",
    "swarm": "postgresql://preview:{password}@postgres/preview",
    "kubernetes": "postgresql://preview:CHANGE-ME@postgres/preview",
}
# The masks of a container's /proc go; then the image's user runs the service, and nothing of root is left. A `$` of a
# stack is written twice.
_UNMASK = (
    "sed -n 's|^[^ ]* [^ ]* [^ ]* [^ ]* \\(/proc/[^ ]*\\) .*|\\1|p' /proc/self/mountinfo | xargs -r umount; "
    "exec setpriv --reuid 10001 --regid 10001 --clear-groups --bounding-set -all --inh-caps -all --no-new-privs "
    'env HOME=/home/preview preview "$$@"'
)
_OPEN, _SECRET, _PROGRAM = 0o644, 0o600, 0o755


@dataclass(frozen=True, slots=True)
class OutFile:
    """A file to write.

    Attributes:
        name: Path below the folder.
        content: Its text.
        mode: Its permissions; secrets are for their owner alone.
        is_kept: Whether a file that is there stays as it is: a secret that was made once.
    """

    name: str
    content: str
    mode: int = _OPEN
    is_kept: bool = False


def make_files(deployment: Deployment) -> list[OutFile]:
    """Return all files of a deployment, in the order of their names.

    Raises:
        CommandFailed: The package lacks one of its own files.
    """
    kinds = {"systemd": _systemd, "compose": _compose, "kubernetes": _kubernetes, "swarm": _swarm}
    made = kinds[deployment.kind](deployment)
    return sorted(made, key=lambda file: file.name)


def _systemd(deployment: Deployment) -> list[OutFile]:
    values = _values(deployment)
    names = ("preview.socket", "preview.service", "preview-backup.service", "preview-backup.timer")
    made = [OutFile(name, _rendered(f"systemd/{name}", values)) for name in names]
    # It may have the database's password.
    made.append(OutFile("preview.env", _rendered("systemd/preview.env", values), _SECRET))
    made.append(OutFile("install.sh", _rendered("systemd/install.sh", values), _PROGRAM))
    if deployment.entry == "secret":
        made.append(OutFile("jwt-secret", f"{_new_secret()}\n", _SECRET, is_kept=True))
    return made + _front(deployment, values, "127.0.0.1:8000")


def _compose(deployment: Deployment) -> list[OutFile]:
    password = secrets.token_urlsafe(24)
    url = deployment.database_url or _OWN_POSTGRES["compose"].format(password=password)
    kept = {"grafana-password": secrets.token_urlsafe(18)}
    used = []
    if deployment.database == "postgresql":
        kept |= {"postgres-password": password, "database-url": url}
        used.append("database-url")
    if deployment.entry == "secret":
        kept["jwt-secret"] = _new_secret()
        used.append("jwt-secret")
    names_of_nodes = ["preview"]
    if deployment.nodes > 1:
        kept["cluster-secret"] = _new_secret()
        used.append("cluster-secret")
        names_of_nodes = [f"preview-{number}" for number in range(1, deployment.nodes + 1)]
    values = _values(deployment) | {"secrets": used, "all_secrets": sorted(kept), "node_names": names_of_nodes}
    names = ("compose.yaml", "preview.env", "prometheus.yml", "datasource.yml", "dashboards.yml")
    made = [OutFile(name, _rendered(f"compose/{name}", values)) for name in names]
    # The service's user in the container reads them: the folder is closed to others instead.
    made += [OutFile(f"secrets/{name}", f"{text}\n", _OPEN, is_kept=True) for name, text in kept.items()]
    shipped = {"seccomp.json": "seccomp.json", "alerts.yml": "monitoring/alerts.yml"}
    shipped["dashboard.json"] = "monitoring/dashboard.json"
    made += [OutFile(name, _shipped(path)) for name, path in shipped.items()]
    return made + _front(deployment, values, "preview:8000")


def _kubernetes(deployment: Deployment) -> list[OutFile]:
    used = ["database-url"] if deployment.database == "postgresql" else []
    used += ["jwt-secret"] if deployment.entry == "secret" else []
    used += ["cluster-secret"] if deployment.nodes > 1 else []
    values = _values(deployment) | {"secrets": used, "jwt_secret": _new_secret(), "cluster_secret": _new_secret()}
    names = ["preview.yaml", "service.yaml", "configmap.yaml", "networkpolicy.yaml"]
    names += [] if deployment.tls == "none" else ["ingress.yaml"]
    made = [OutFile(name, _rendered(f"kubernetes/{name}", values)) for name in names]
    if used:
        made.append(OutFile("secret.yaml", _rendered("kubernetes/secret.yaml", values), _SECRET, is_kept=True))
    # In a folder of its own: kubectl takes each JSON file beside the manifests for one.
    return [*made, OutFile("nodes/seccomp.json", _shipped("seccomp.json"))]


def _swarm(deployment: Deployment) -> list[OutFile]:
    own, password = deployment.database_url is None, secrets.token_urlsafe(24)
    kept = {"database-url": deployment.database_url or _OWN_POSTGRES["swarm"].format(password=password)}
    kept["cluster-secret"] = _new_secret()
    if deployment.entry == "secret":
        kept["jwt-secret"] = _new_secret()
    used = sorted(kept)
    if own:
        kept["postgres-password"] = password
    nodes = [f"preview-{number}" for number in range(1, deployment.nodes + 1)]
    secret_files = {name: f"./secrets/{name}" for name in sorted(kept)}
    if deployment.tls == "caddy" and deployment.certificate != INTERNAL:
        secret_files |= {"certificate": deployment.certificate, "certificate-key": deployment.key}
    values = _values(deployment) | {"secrets": used, "secret_files": secret_files, "node_names": nodes}
    values |= {"unmask": json.dumps(_UNMASK), "own_postgres": own, "internal": INTERNAL}
    made = [OutFile("stack.yaml", _rendered("swarm/stack.yaml", values))]
    for index, node in enumerate(nodes, 1):
        text = _rendered("swarm/node.yaml", values | {"node": node, "index": index})
        made.append(OutFile(f"nodes/{node}.yaml", text))
    made.append(OutFile("deploy.sh", _rendered("swarm/deploy.sh", values), _PROGRAM))
    made.append(OutFile("preview.env", _rendered("compose/preview.env", values | {"nodes": max(2, deployment.nodes)})))
    made.append(OutFile("seccomp.json", _shipped("seccomp.json")))
    made += [OutFile(f"secrets/{name}", f"{text}\n", _SECRET, is_kept=True) for name, text in kept.items()]
    # Swarm gives the certificate to Caddy as secrets.
    if deployment.certificate != INTERNAL:
        values |= {"certificate": "/run/secrets/certificate", "key": "/run/secrets/certificate-key"}
    return made + _front(deployment, values, " ".join(f"{node}:8000" for node in nodes))


def _front(deployment: Deployment, values: Mapping[str, object], upstream: str) -> list[OutFile]:
    name = {"caddy": "Caddyfile", "nginx": "nginx.conf", "none": None}[deployment.tls]
    return [] if name is None else [OutFile(name, _rendered(f"front/{name}", {**values, "upstream": upstream}))]


def _values(deployment: Deployment) -> dict[str, object]:
    values = deployment.model_dump() | {"url": deployment.url, "subnet": _SUBNET}
    values["database_url"] = deployment.database_url or _OWN_POSTGRES[deployment.kind]
    values["ingress_namespace"] = {"nginx": "ingress-nginx", "caddy": "caddy-system"}.get(deployment.tls, "default")
    return values


def _rendered(name: str, values: Mapping[str, object]) -> str:
    environment = jinja2.Environment(
        # The results are no HTML; ``Deployment`` lets nothing pass that means something in them.
        autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string((_TEMPLATES / name).read_text("utf-8")).render(values)


def _shipped(name: str) -> str:
    for folder in _SHIPPED:
        if (folder / name).is_file():
            return (folder / name).read_text("utf-8")
    raise CommandFailed(f"The installed package lacks {name}; install it again.")


def _new_secret() -> str:
    return secrets.token_urlsafe(48)


def existing(files: Sequence[OutFile], folder: Path) -> list[str]:
    """Return the names of files that would be overwritten: that are there, and different."""
    return [
        file.name
        for file in files
        if not file.is_kept and (folder / file.name).exists() and _text(folder / file.name) != file.content
    ]


def _text(path: Path) -> str | None:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError):
        return None


def _close(folder: Path) -> None:
    """Make a folder, or take the one that is there, and close it to others.

    Raises:
        CommandFailed: It is another user's.
        OSError: It is a link, or cannot be made.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise CommandFailed(
                f"{quoted(str(folder))} belongs to another user, who could read the secrets; remove it."
            )
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def write_files(files: Sequence[OutFile], folder: Path) -> list[str]:
    """Write the files; a secret that is there stays. Links are replaced, never followed. Returns the names written.

    Raises:
        CommandFailed: One cannot be written.
    """
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for closed in {(folder / file.name).parent for file in files} - {folder}:
            _close(closed)
        for file in files:
            path = folder / file.name
            if file.is_kept and path.exists():
                continue
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(draft, flags, file.mode), "w", encoding="utf-8") as target:
                os.fchmod(target.fileno(), file.mode)
                target.write(file.content)
            draft.replace(path)
            written.append(file.name)
    except OSError as error:
        raise CommandFailed(f"{quoted(str(error.filename))} cannot be written: {error.strerror}.") from error
    return written
