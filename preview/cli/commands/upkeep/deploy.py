"""``preview deploy init``: write the files that put the service on a server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from preview.cli.exits import ExitCode, UsageMistake
from preview.cli.options import JsonOption, YesOption
from preview.cli.terminal import counted, print_json, say

app = typer.Typer(help="Put the service on a server.", no_args_is_help=True, add_completion=False)

_NEXT = {
    "systemd": "sudo sh {folder}/install.sh",
    "compose": "cd {folder} && docker compose up --detach",
    "kubernetes": "kubectl apply --namespace preview --filename {folder}",
    "swarm": "sh {folder}/deploy.sh",
}


@app.callback()
def _deploy() -> None:
    """Put the service on a server."""


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder for the files.")] = Path("preview-deploy"),
    systemd: Annotated[bool, typer.Option("--systemd", help="Units for a server.")] = False,
    compose: Annotated[bool, typer.Option("--compose", help="Containers, with Prometheus and Grafana.")] = False,
    kubernetes: Annotated[bool, typer.Option("--kubernetes", help="Manifests for Kubernetes.")] = False,
    swarm: Annotated[bool, typer.Option("--swarm", help="A stack for Docker Swarm: three nodes.")] = False,
    domain: Annotated[str | None, typer.Option("--domain", metavar="HOST", help="Host of the page and API.")] = None,
    previews_domain: Annotated[
        str | None,
        typer.Option(
            "--previews-domain",
            metavar="HOST",
            help="Domain of previews. Default: previews.example.com for --domain preview.example.com.",
        ),
    ] = None,
    database: Annotated[Literal["sqlite", "postgresql"] | None, typer.Option("--database")] = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            "--database-url", metavar="URL", help="PostgreSQL's address. Default: a new one beside the service."
        ),
    ] = None,
    database_network: Annotated[
        str | None,
        typer.Option(
            "--database-network",
            metavar="NETWORK",
            help="In a cluster: the network of the database, such as 10.3.0.0/24.",
        ),
    ] = None,
    ingress_network: Annotated[
        str | None,
        typer.Option(
            "--ingress-network",
            metavar="NETWORK",
            help="In a cluster: the network of the ingress controller, such as 10.2.0.0/24.",
        ),
    ] = None,
    tls: Annotated[
        Literal["caddy", "nginx", "none"] | None, typer.Option("--tls", help="The proxy that handles TLS.")
    ] = None,
    certificate: Annotated[
        str | None,
        typer.Option("--certificate", metavar="FILE", help="Certificate for both domains; `internal`: Caddy's own."),
    ] = None,
    key: Annotated[str | None, typer.Option("--key", metavar="FILE", help="The certificate's key.")] = None,
    entry: Annotated[
        Literal["tokens", "secret", "jwks", "oidc"] | None,
        typer.Option("--entry", help="Who may use the service: see docs/install.md."),
    ] = None,
    jwks_url: Annotated[
        str | None,
        typer.Option(
            "--jwks-url", metavar="URL", help="URL of your identity provider's keys (JWKS), for --entry jwks."
        ),
    ] = None,
    oidc_issuer: Annotated[
        str | None, typer.Option("--oidc-issuer", metavar="URL", help="Your OpenID provider, for --entry oidc.")
    ] = None,
    oidc_client: Annotated[
        str | None, typer.Option("--oidc-client", metavar="ID", help="Client id of the service at that provider.")
    ] = None,
    operator: Annotated[
        str | None, typer.Option("--operator", metavar="USER", help="User id of the first operator.")
    ] = None,
    image: Annotated[str | None, typer.Option("--image", metavar="NAME", help="The container image.")] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            "--nodes",
            metavar="N",
            help="Number of nodes in the cluster: see docs/cluster.md. Default: 1; with --swarm: 3.",
        ),
    ] = None,
    https_port: Annotated[int | None, typer.Option("--https-port", metavar="PORT", help="Default: 443.")] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the files that put the service on a server, after five questions.

    Shows the files, and asks before it writes them. The server runs only what these files say, so read and change
    them before you use them. Secrets are created once, and kept.

    Example: preview deploy init preview-deploy --systemd --domain preview.example.com --tls nginx --yes
    """
    # Imported here: the templates' engine takes a tenth of a second.
    from preview.cli.deploying.choices import make_deployment  # noqa: PLC0415
    from preview.cli.deploying.files import existing, make_files, write_files  # noqa: PLC0415

    kinds = [name for name, is_given in _kinds(systemd, compose, kubernetes, swarm).items() if is_given]
    if len(kinds) > 1:
        raise UsageMistake("Give one of --systemd, --compose, --kubernetes and --swarm.")
    answers = {"kind": kinds[0] if kinds else None, "domain": domain, "database": database, "tls": tls, "entry": entry}
    if not yes and sys.stdin.isatty():
        answers = _asked(answers, entry="jwks" if jwks_url else "oidc" if oidc_issuer else None)
    answers["kind"] = answers["kind"] or "systemd"
    if answers["domain"] is None:
        raise UsageMistake("Give the service's host with --domain, such as --domain preview.example.com.")
    rest = {"jwks_url": jwks_url, "operator": operator, "image": image, "https_port": https_port, "key": key}
    rest |= {"previews": previews_domain, "certificate": certificate, "database_url": database_url}
    rest |= {"oidc_issuer": oidc_issuer, "oidc_client": oidc_client}
    rest |= {"database_network": database_network, "ingress_network": ingress_network, "nodes": nodes}
    deployment = make_deployment(**answers, **rest)
    if folder.exists() and not folder.is_dir():
        raise UsageMistake(f"{folder} is a file; name a folder.")
    files = make_files(deployment)
    replaced = existing(files, folder)
    if not as_json:
        for file in files:
            say(f"    {folder / file.name}{'  (replaces another file)' if file.name in replaced else ''}")
    if not yes:
        _confirm(f"Replace {len(replaced)} of these files?" if replaced else "Write these files?")
    written = write_files(files, folder)
    following = _NEXT[deployment.kind].format(folder=folder)
    if as_json:
        print_json({"folder": str(folder), "written": written, "url": deployment.url, "next": following})
        return
    print(f"{counted(len(written), 'file is', 'files are')} in {folder}. Read them, then:\n    {following}")


def _kinds(systemd: bool, compose: bool, kubernetes: bool, swarm: bool) -> dict[str, bool]:
    return {"systemd": systemd, "compose": compose, "kubernetes": kubernetes, "swarm": swarm}


def _asked(answers: dict[str, str | None], *, entry: str | None) -> dict[str, str | None]:
    """Ask what the options leave open, on stderr; ``entry`` is the answer that other options have given."""
    from preview.cli.deploying.choices import QUESTIONS, is_domain  # noqa: PLC0415  see ``init``

    for question in QUESTIONS:
        if answers[question.field] is not None or (question.field == "entry" and entry):
            continue
        say(question.text)
        for answer, meaning in question.answers.items():
            say(f"    {answer:<11} {meaning}")
        while True:
            given = typer.prompt(">", default=question.default or None, err=True, prompt_suffix=" ").strip()
            if given in question.answers or (not question.answers and is_domain(given)):
                break
            say(
                "Enter one of the answers above."
                if question.answers
                else "That is not a domain. Enter one such as preview.example.com."
            )
        answers[question.field] = given
    answers["entry"] = answers["entry"] or entry
    return answers


def _confirm(question: str) -> None:
    """Ask before writing.

    Raises:
        UsageMistake: There is no terminal to ask at.
    """
    if not sys.stdin.isatty():
        raise UsageMistake("Cannot ask without a terminal; run it again with --yes to write these files.")
    if not typer.confirm(question, err=True):
        raise typer.Exit(ExitCode.FAILED)
