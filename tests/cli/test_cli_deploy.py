"""``preview deploy init``: the files are checked by the programs that read them, where these are installed."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from preview.cli.deploying.choices import make_deployment
from preview.cli.deploying.files import make_files
from preview.cli.entry import run
from preview.cli.exits import UsageMistake
from preview.settings import Settings, variable_of
from preview.settings_secrets import SECRET_FIELDS

JWKS = {"entry": "jwks", "jwks_url": "https://id.example.com/keys"}
OIDC = {"entry": "oidc", "oidc_issuer": "https://id.example.com/realm", "oidc_client": "preview"}
CHOICES = [
    {"database": database, "tls": tls, **entry}
    for database, tls, entry in itertools.product(
        ("sqlite", "postgresql"), ("caddy", "nginx", "none"), ({"entry": "tokens"}, {"entry": "secret"}, JWKS, OIDC)
    )
]


def files(kind: str, **choices: Any) -> dict[str, str]:
    made = make_files(make_deployment(kind=kind, domain="preview.example.com", **choices))
    return {file.name: file.content for file in made}


def needed(*names: str) -> str:
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
        if found is not None:
            return found
    pytest.skip(f"no {names[0]}")


def test_systemd_verifies_the_units(tmp_path: Path) -> None:
    program = needed("systemd-analyze")
    for number, choices in enumerate(CHOICES):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, text in files("systemd", **choices).items():
            if name.endswith((".service", ".socket", ".timer")):
                # The program is not installed here, and its user is not made.
                (folder / name).write_text(re.sub(r"^(ExecStart=)/opt/\S+", r"\1/bin/true", text, flags=re.MULTILINE))
    units = [str(path) for path in sorted((tmp_path / "0").iterdir())]
    done = subprocess.run([program, "verify", *units], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    # The others differ in lines that are in one of these.
    lines = {line for path in tmp_path.glob("*/preview.service") for line in path.read_text().splitlines()}
    assert [line for line in lines if line.startswith("Load")] == ["LoadCredential=jwt-secret:/etc/preview/jwt-secret"]


def test_the_shell_reads_the_installer(tmp_path: Path) -> None:
    for number, choices in enumerate(CHOICES):
        path = tmp_path / f"{number}.sh"
        path.write_text(files("systemd", **choices)["install.sh"])
        done = subprocess.run(["sh", "-n", str(path)], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("choices", CHOICES, ids=lambda one: "-".join(one.values())[:30])
def test_compose_has_all_that_it_mentions(choices: dict[str, str]) -> None:
    made = files("compose", **choices)
    found = yaml.safe_load(made["compose.yaml"])
    services = found["services"]
    assert {"preview", "prometheus", "grafana"} <= services.keys()
    for service in services.values():
        for one in service.get("volumes", ()):
            source = one.partition(":")[0]
            assert source in found["volumes"] or source.removeprefix("./") in made or source.startswith("/"), one
        assert set(service.get("secrets", ())) <= found["secrets"].keys()
        assert set(service.get("depends_on", ())) <= services.keys()
    assert {one["file"].removeprefix("./") for one in found["secrets"].values()} <= made.keys()
    assert services["preview"]["user"] == "10001"
    assert services["preview"]["cap_drop"] == ["ALL"]
    assert json.loads(made["seccomp.json"])["defaultAction"] == "SCMP_ACT_ALLOW"


def test_several_services_are_nodes_with_one_secret_and_own_folders() -> None:
    made = files("compose", database="postgresql", nodes=3)
    found = yaml.safe_load(made["compose.yaml"])
    nodes = {name: one for name, one in found["services"].items() if name.startswith("preview")}
    assert sorted(nodes) == ["preview-1", "preview-2", "preview-3"]
    for name, node in nodes.items():
        assert node["environment"] == {"PREVIEW_NODE_NAME": name, "PREVIEW_NODE_ADDRESS": f"{name}:7000"}
        assert node["networks"] == {"default": {"aliases": ["preview"]}}
        assert "cluster-secret" in node["secrets"]
        # The nodes' own port is reached in the network of the containers only.
        assert "ports" not in node
        assert node["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    folders = {node["volumes"][0].partition(":")[0] for node in nodes.values()}
    assert folders == {"data-1", "data-2", "data-3"} <= found["volumes"].keys()
    assert found["services"]["caddy"]["depends_on"] == sorted(nodes)
    assert "PREVIEW_CLUSTER=true" in made["preview.env"].splitlines()
    targets = yaml.safe_load(made["prometheus.yml"])["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == [f"{name}:8000" for name in sorted(nodes)]


SWARM = [
    {"entry": entry, "tls": tls, "certificate": certificate}
    for entry, tls, certificate in (
        ("tokens", "caddy", "/etc/tls/chain.pem"),
        ("secret", "caddy", "internal"),
        ("tokens", "none", "/etc/tls/chain.pem"),
    )
]


@pytest.mark.parametrize("choices", SWARM, ids=["files", "internal", "none"])
def test_a_stack_of_three_nodes_has_all_that_it_mentions(choices: dict[str, str], tmp_path: Path) -> None:
    made = files("swarm", **choices)
    found = yaml.safe_load(made["stack.yaml"])
    nodes = {}
    for name in ("preview-1", "preview-2", "preview-3"):
        (nodes[name],) = yaml.safe_load(made[f"nodes/{name}.yaml"])["services"].values()
    services = found["services"] | nodes
    for name, node in nodes.items():
        assert node["environment"] == {"PREVIEW_NODE_NAME": name, "PREVIEW_NODE_ADDRESS": f"{name}:7000"}
        # Its own name, before Swarm's DNS has it.
        assert node["hostname"] == name
        assert (node["cap_drop"], node["read_only"]) == (["ALL"], True)
        # What it begins with, and gives up: see `test_swarm_started.py`.
        assert node["cap_add"] == ["SYS_ADMIN", "SETUID", "SETGID", "SETPCAP"]
        assert "--reuid 10001" in node["entrypoint"][2]
        assert "--bounding-set -all" in node["entrypoint"][2]
        assert {"cluster-secret", "database-url"} <= set(node["secrets"])
        assert "ports" not in node
        # Two services with one name would be one node.
        assert node["deploy"]["update_config"]["order"] == "stop-first"
    for service in services.values():
        assert "security_opt" not in service  # Swarm ignores it
        assert set(service.get("secrets", ())) <= found["secrets"].keys()
        named = [one.partition(":")[0] for one in service.get("volumes", ()) if isinstance(one, str)]
        assert set(named) <= found["volumes"].keys()
    # Swarm changes no content of a secret: another content has another name.
    for one in (*found["secrets"].values(), *found.get("configs", {}).values()):
        (variable,) = re.findall(r"\$\{(\w+_HASH):\?", one["name"])
        assert f'{variable}=$(hash "{one["file"]}")' in made["deploy.sh"].replace(
            "hash Caddyfile", 'hash "./Caddyfile"'
        )
    given = {one["file"] for one in found["secrets"].values()}
    assert {one.removeprefix("./") for one in given if one.startswith("./")} <= made.keys()
    assert ("caddy" in services) is (choices["tls"] == "caddy")
    if choices["tls"] == "caddy":
        assert "reverse_proxy preview-1:8000 preview-2:8000 preview-3:8000 {" in made["Caddyfile"]
        assert ("tls /run/secrets/certificate /run/secrets/certificate-key" in made["Caddyfile"]) is (
            choices["certificate"] != "internal"
        )
    assert "PREVIEW_CLUSTER=true" in made["preview.env"].splitlines()
    if shutil.which("docker") is not None:
        for name, text in made.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        command = ["docker", "stack", "config", "--compose-file", str(tmp_path / "stack.yaml")]
        command += [f"--compose-file={tmp_path}/nodes/{name}.yaml" for name in nodes]
        hashes = dict.fromkeys(re.findall(r"\b[A-Z_]+_HASH\b", made["deploy.sh"]), "-x")
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | hashes)
        # Debian 12's Docker has no `config` for stacks.
        assert done.returncode == 0 or "unknown" in done.stderr.lower() or "Usage:" in done.stderr, done.stderr
        done = subprocess.run(["sh", "-n", str(tmp_path / "deploy.sh")], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


DOCKER = """#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
    *stack\\ deploy*) touch "$LOG.started" ;;
    *service\\ inspect*preview.files*) [ -e "$LOG.started" ] && echo "${LABEL:-$FILES_HASH}" ;;
    *service\\ inspect*) [ -e "$LOG.started" ] && echo image:1 ;;
    *service\\ ps*) echo "image:1 Complete 2 seconds ago" ;;
    *service\\ scale*) exit ${UPDATED:-0} ;;
esac
"""


def test_a_stack_is_updated_node_by_node_each_drained_before(tmp_path: Path) -> None:
    certificate = tmp_path / "chain.pem"
    certificate.write_text("first")
    stack, program, log = tmp_path / "stack", tmp_path / "bin" / "docker", tmp_path / "log"
    options = ["--domain=preview.example.com", f"--certificate={certificate}", f"--key={certificate}", "--yes"]
    assert run(["deploy", "init", str(stack), "--swarm", *options]) == 0
    program.parent.mkdir()
    program.write_text(DOCKER)
    program.chmod(0o755)

    def deployed(*arguments: str, **variables: str) -> list[str]:
        """The commands that changed something."""
        log.write_text("")
        environment = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}", "LOG": str(log), "LABEL": "old"}
        command = ["sh", str(stack / "deploy.sh"), *arguments]
        done = subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=60)
        assert (done.returncode != 0) is ("UPDATED" in variables), done.stderr
        # A command of several lines has the first one here.
        lines = [line for line in log.read_text().splitlines() if line.startswith(("stack", "service"))]
        changing = [line for line in lines if re.match(r"stack deploy|service (create|scale)", line)]
        return [" ".join(re.findall(r"^\w+ \w+|nodes/[\w-]+|preview_\w[\w-]*", line)) for line in changing]

    every = [f"nodes/preview-{number}" for number in (1, 2, 3)]
    assert deployed() == [" ".join(["stack deploy", *every])]
    step = "service create preview_drain preview_nodes|stack deploy {0}|service scale preview_{1}"
    steps = [step.format(one, one.partition("/")[2]).split("|") for one in every]
    # The tables first: what all nodes share has the job for them.
    assert deployed() == ["stack deploy", *steps[0], *steps[1], *steps[2]]
    # One that does not start is the last; one whose files are the same is left alone.
    assert deployed(UPDATED="1") == ["stack deploy", *steps[0]]
    assert deployed(LABEL="") == ["stack deploy"]
    assert deployed("--all", LABEL="") == ["stack deploy", *steps[0], *steps[1], *steps[2]]


def test_a_stack_needs_a_database_that_its_nodes_share_and_a_proxy_that_it_has() -> None:
    with pytest.raises(UsageMistake, match="--nodes"):
        files("swarm", database="sqlite")
    with pytest.raises(UsageMistake, match="--swarm needs --tls caddy"):
        files("swarm", tls="nginx")


@pytest.mark.parametrize(("kind", "database"), [("systemd", "postgresql"), ("compose", "sqlite")])
def test_several_services_need_a_database_that_they_share(kind: str, database: str) -> None:
    with pytest.raises(UsageMistake, match="--nodes"):
        files(kind, database=database, nodes=2)


def test_compose_reads_the_file(tmp_path: Path) -> None:
    if subprocess.run([needed("docker"), "compose", "version"], capture_output=True).returncode != 0:
        pytest.skip("no docker compose")
    assert run(["deploy", "init", str(tmp_path), "--compose", "--domain", "preview.example.com", "--yes"]) == 0
    command = ["docker", "compose", "--file", str(tmp_path / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["systemd", "compose", "kubernetes", "swarm"])
def test_only_settings_that_exist_are_set(kind: str) -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    known |= {f"PREVIEW_{name.upper()}_FILE" for name in SECRET_FIELDS}
    several: list[dict[str, Any]] = [] if kind == "systemd" else [{"database": "postgresql", "nodes": 3}]
    for choices in SWARM if kind == "swarm" else [*CHOICES, *several]:
        for name, text in files(kind, **choices).items():
            if name.endswith((".env", ".yaml", ".service")):
                assert set(re.findall(r"\b(PREVIEW_[A-Z_]+)\b[=:]", text)) <= known, name


# Answers: nothing of them means something in a file


@pytest.mark.parametrize(
    "answers",
    [
        {"domain": "preview.example.com\n}"}, {"domain": "a b.example.com"}, {"domain": "-x.example.com"},
        {"domain": "example"}, {"domain": "{{ 7*7 }}.example.com"}, {"domain": "preview.example.com;"},
        {"domain": "127.0.0.1"}, {"domain": "*.example.com"}, {"domain": "x" * 64 + ".example.com"},
        {"domain": "preview.example.com", "image": "a\nb"}, {"domain": "preview.example.com", "image": 'a"b'},
        {"domain": "preview.example.com", "operator": "a; rm -rf /"}, {"domain": "preview.example.com", "key": "/a b"},
        {"domain": "preview.example.com", "certificate": "/x;\n"}, {"domain": "preview.example.com", "https_port": 0},
        {"domain": "preview.example.com", "previews": "x.preview.example.com"},
        {"domain": "x.preview.example.com", "previews": "preview.example.com"},
        {"domain": "preview.example.com", "previews": "preview.example.com"}, {"domain": "example.com"},
        {"domain": "preview.example.com", "entry": "jwks"},
        {"domain": "preview.example.com", "entry": "jwks", "jwks_url": "http://id.example.com"},
        {"domain": "preview.example.com", "entry": "oidc", "oidc_issuer": "https://id.example.com"},
        {"domain": "preview.example.com", **OIDC, "oidc_issuer": "http://id.example.com"},
        {"domain": "preview.example.com", **OIDC, "oidc_client": "a b"},
        {"domain": "preview.example.com", "database_url": "postgresql://x\n"},
        {"domain": "preview.example.com", "tls": "nginx", "certificate": "internal"},
    ],
)  # fmt: skip
def test_an_answer_that_would_mean_something_in_a_file_is_one_sentence(
    answers: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"previews": "previews-domain"}
    options = [f"--{names.get(name, name).replace('_', '-')}={value}" for name, value in answers.items()]
    assert run(["deploy", "init", str(tmp_path / "new"), "--yes", *options]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten_without_a_question_and_secrets_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "new"
    command = ["deploy", "init", str(target), "--domain", "preview.example.com", "--entry", "secret"]
    assert run(command) == 2
    assert "--yes" in capsys.readouterr().err
    assert not target.exists()
    assert run([*command, "--yes"]) == 0
    secret = (target / "jwt-secret").read_text()
    assert len(secret) > 60
    assert (target / "jwt-secret").stat().st_mode & 0o777 == 0o600
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (target / "preview.env").unlink()
    (target / "preview.env").symlink_to(victim)
    (target / "install.sh").write_text("changed by hand")
    capsys.readouterr()
    assert run(command) == 2
    said = capsys.readouterr().err
    assert "install.sh  (replaces another file)" in said
    assert (target / "install.sh").read_text() == "changed by hand"
    assert run([*command, "--yes"]) == 0
    assert (target / "jwt-secret").read_text() == secret
    assert victim.read_text() == "mine", "a link is replaced, not followed"
    assert (target / "install.sh").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("kind", ["systemd", "compose", "kubernetes", "swarm"])
def test_files_with_the_databases_password_are_closed_to_others(kind: str) -> None:
    choices = {"database": "postgresql", "database_url": "postgresql://preview:hunter2@10.1.2.3/preview"}
    choices |= {"database_network": "10.1.2.3/32"} if kind == "kubernetes" else {}
    made = make_files(make_deployment(kind=kind, domain="preview.example.com", **choices))
    found = {file.name: file.mode for file in made if "hunter2" in file.content}
    assert found
    assert {mode for name, mode in found.items() if not name.startswith("secrets/")} <= {0o600}, found


def test_the_folder_of_secrets_is_closed_to_others_though_it_was_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["deploy", "init", str(tmp_path), "--compose", "--domain", "preview.example.com", "--yes"]
    folder = tmp_path / "secrets"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    folder.symlink_to(elsewhere)
    assert run(command) == 1
    assert not (tmp_path / "compose.yaml").exists()
    assert not list(elsewhere.iterdir())
    folder.unlink()
    folder.mkdir(mode=0o755)
    with monkeypatch.context() as other:
        other.setattr("os.geteuid", lambda: 12345)
        capsys.readouterr()
        assert run(command) == 1
        assert "belongs to another user" in capsys.readouterr().err
    assert not list(folder.iterdir())
    assert run(command) == 0
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_cluster_trusts_and_reaches_only_what_was_named(capsys: pytest.CaptureFixture[str]) -> None:
    made = files("kubernetes", database="postgresql")
    assert "PREVIEW_TRUSTED_PROXIES" not in yaml.safe_load(made["configmap.yaml"])["data"]
    *_, database = yaml.safe_load(made["networkpolicy.yaml"])["spec"]["egress"]
    assert database["to"] == [{"podSelector": {"matchLabels": {"app": "postgres"}}}]
    named = {"database": "postgresql", "database_url": "postgresql://u:p@db.example.com/x"}
    made = files("kubernetes", **named, database_network="10.9.0.7/32", ingress_network="10.3.0.0/24")
    assert yaml.safe_load(made["configmap.yaml"])["data"]["PREVIEW_TRUSTED_PROXIES"] == "10.3.0.0/24"
    *_, database = yaml.safe_load(made["networkpolicy.yaml"])["spec"]["egress"]
    assert database["to"] == [{"ipBlock": {"cidr": "10.9.0.7/32"}}]
    assert not [rule for rule in yaml.safe_load(made["networkpolicy.yaml"])["spec"]["egress"] if "to" not in rule]
    command = ["deploy", "init", "new", "--domain", "preview.example.com", "--yes", "--kubernetes"]
    for options in (
        ["--database", "postgresql", "--database-url", named["database_url"]],
        ["--ingress-network", "10.0.0.1/8"],
        ["--ingress-network", "0.0.0.0/0"],
        ["--database-network", "x]"],
    ):
        assert run([*command, *options]) == 2
        assert "network" in capsys.readouterr().err


def test_five_questions_at_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["not a domain", "preview.example.com", "compose", "redis", "postgresql", "", "secret"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda *_, default=None, **__: next(answers) or default)
    monkeypatch.setattr("typer.confirm", lambda *_, **__: True)
    assert run(["deploy", "init", str(tmp_path / "new")]) == 0
    assert next(answers, None) is None
    made = yaml.safe_load((tmp_path / "new" / "compose.yaml").read_text())
    assert {"postgres", "migrate", "caddy"} <= made["services"].keys()
