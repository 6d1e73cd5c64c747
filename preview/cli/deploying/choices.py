"""Answers that a deployment is made from, each checked before it stands in a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from preview.cli.exits import UsageMistake
from preview.core.ids import is_valid_id
from preview.settings_errors import problem_of

Kind = Literal["systemd", "compose", "kubernetes", "swarm"]
Database = Literal["sqlite", "postgresql"]
Tls = Literal["caddy", "nginx", "none"]
Entry = Literal["tokens", "secret", "jwks", "oidc"]

# RFC 1123 section 2.1; at least two labels, the last one a name.
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = rf"^(?:{_LABEL}\.)+[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])$"
_IS_DOMAIN = re.compile(_DOMAIN)
# Nothing that means something in YAML, in a shell, in a unit, or in the files of the two proxies.
_PLAIN = r"^[A-Za-z0-9._/@:+=?&%~-]+$"
_PATH = r"^/[A-Za-z0-9._/+-]+$"
_LEAST_LABELS = 3
INTERNAL = "internal"


class Deployment(BaseModel):
    """The answers.

    Attributes:
        kind: Where the service runs.
        domain: Host of the page and the API.
        previews: Domain of previews, neither above nor below ``domain``; each is a host in it.
        database: Kind of the service's database.
        tls: The proxy in front; ``none`` means one of the operator's own.
        entry: People who may enter: those with a token of this service, or users of a platform that signs tokens with a
            shared secret, or with keys at a JWKS address, or people who sign in on the page at an OpenID provider.
        jwks_url: Address of the keys.
        oidc_issuer: Address of the OpenID provider.
        oidc_client: Id of the service at that provider.
        operator: Id of the first operator.
        certificate: File of the certificate for both domains; ``internal`` means Caddy's own authority.
        key: File of its key.
        https_port: Port of the proxy.
        image: Name of the container image.
        database_url: PostgreSQL's address; None means the one that is set up with the service.
        ingress_network: Network of a cluster's ingress, which tells clients' addresses; None: nobody is believed.
        nodes: Number of services, which are a cluster if there are several.
        database_network: Network of PostgreSQL, for a cluster; None means pods with the label ``app: postgres``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    domain: str = Field(pattern=_DOMAIN, max_length=200)
    previews: str = Field(pattern=_DOMAIN, max_length=200)
    database: Database = "sqlite"
    tls: Tls = "caddy"
    entry: Entry = "tokens"
    jwks_url: str | None = Field(None, pattern=_PLAIN, max_length=500)
    oidc_issuer: str | None = Field(None, pattern=_PLAIN, max_length=500)
    oidc_client: str | None = Field(None, pattern=_PLAIN, max_length=500)
    operator: str = Field("admin", pattern=r"^[A-Za-z0-9._@-]+$", max_length=128)
    certificate: str = Field("/etc/preview/tls/fullchain.pem", pattern=rf"{_PATH}|^{INTERNAL}$", max_length=200)
    key: str = Field("/etc/preview/tls/privkey.pem", pattern=_PATH, max_length=200)
    https_port: int = Field(443, ge=1, le=65535)
    image: str = Field("preview", pattern=_PLAIN, max_length=200)
    nodes: int = Field(1, ge=1, le=50)
    database_url: str | None = Field(None, pattern=_PLAIN, max_length=500)
    ingress_network: str | None = None
    database_network: str | None = None

    @field_validator("ingress_network", "database_network")
    @classmethod
    def _is_network(cls, text: str | None) -> str | None:
        if text is None:
            return None
        try:
            network = ip_network(text)
        except ValueError:
            raise ValueError("it is not a network; write one as 10.3.0.0/24, with no host bits set") from None
        if network.prefixlen == 0:
            raise ValueError("this network covers all addresses; give a smaller one")
        return str(network)

    @model_validator(mode="after")
    def _fits(self) -> Deployment:
        domain, previews = self.domain, self.previews
        if domain == previews or _is_below(domain, previews) or _is_below(previews, domain):
            raise ValueError(
                f"the domain of previews ({previews}) must not be part of the service's ({domain}), nor its "
                "parent, so that cookies stay apart; give another one with --previews-domain"
            )
        if (self.entry == "jwks") is not (self.jwks_url is not None):
            raise ValueError("--entry jwks and --jwks-url belong together: give both, or none")
        if self.jwks_url is not None and not self.jwks_url.startswith("https://"):
            raise ValueError("--jwks-url must begin with https://, because its keys decide who may sign in")
        if {self.entry == "oidc"} != {self.oidc_issuer is not None, self.oidc_client is not None}:
            raise ValueError("--entry oidc, --oidc-issuer and --oidc-client belong together: give all, or none")
        if self.oidc_issuer is not None and not self.oidc_issuer.startswith("https://"):
            raise ValueError("--oidc-issuer must begin with https://, because it decides who may sign in")
        if self.certificate == INTERNAL and (self.tls != "caddy" or self.kind == "kubernetes"):
            raise ValueError(
                "--certificate internal uses Caddy's own certificate authority; it needs --tls caddy, and --systemd, "
                "--compose or --swarm"
            )
        if self.kind == "kubernetes" and self.database_url is not None and self.database_network is None:
            raise ValueError(
                "--database-url needs --database-network in a cluster: the network policy allows no other way to the "
                "database"
            )
        if (self.nodes > 1 or self.kind == "swarm") and (self.database != "postgresql" or self.kind == "systemd"):
            raise ValueError("--nodes needs --database postgresql, and --compose, --kubernetes or --swarm")
        if self.kind == "swarm" and self.tls == "nginx":
            raise ValueError("--swarm needs --tls caddy, or --tls none for a proxy of your own")
        if not is_valid_id(self.operator):
            raise ValueError(
                f"--operator: {self.operator!r} cannot be a user's id; use letters, digits, '.', '_' and '-', and "
                "begin with a letter or digit"
            )
        return self

    @property
    def url(self) -> str:
        """The service's address, as users see it."""
        return f"https://{self.domain}" + ("" if self.https_port == 443 else f":{self.https_port}")


@dataclass(frozen=True, slots=True)
class Question:
    """One of the five questions.

    Attributes:
        field: Field of ``Deployment``.
        text: The question.
        answers: The possible ones with their meaning; empty for a free text.
        default: The answer to an empty line.
    """

    field: str
    text: str
    answers: dict[str, str]
    default: str


QUESTIONS = (
    Question("domain", "Domain of the page and the API, such as preview.example.com", {}, ""),
    Question(
        "kind",
        "Where does the service run?",
        {
            "systemd": "on a server like this one, as a systemd unit",
            "compose": "in containers, with Prometheus and Grafana",
            "kubernetes": "in a cluster of Kubernetes",
            "swarm": "on the machines of a Docker Swarm, as a cluster of three nodes",
        },
        "systemd",
    ),
    Question(
        "database",
        "Which database?",
        {"sqlite": "a file in the data folder", "postgresql": "a server"},
        "sqlite",
    ),
    Question(
        "tls",
        "Which proxy handles TLS?",
        {"caddy": "Caddy", "nginx": "nginx", "none": "a proxy of your own"},
        "caddy",
    ),
    Question(
        "entry",
        "Who may use the service?",
        {
            "tokens": "people with a token from `preview token`, or an invitation",
            "secret": "users of your platform, with tokens that a shared secret signs",
            "jwks": "users of your identity provider, whose keys are at a URL (JWKS)",
            "oidc": "people who sign in on the page, at your OpenID provider",
        },
        "tokens",
    ),
)


def previews_domain(domain: str) -> str | None:
    """Return a domain for previews beside the service's; None if that would be a domain of somebody else."""
    first, _, rest = domain.partition(".")
    if domain.count(".") + 1 < _LEAST_LABELS:
        return None
    return f"{'run' if first == 'previews' else 'previews'}.{rest}"


def is_domain(text: str) -> bool:
    """Return whether the text is a domain with at least two labels."""
    return _IS_DOMAIN.fullmatch(text) is not None


def make_deployment(**answers: object) -> Deployment:
    """Check the answers.

    Raises:
        UsageMistake: One of them is wrong, or two do not fit.
    """
    given = {name: value for name, value in answers.items() if value is not None}
    domain = str(given.get("domain", ""))
    if "previews" not in given and is_domain(domain):
        beside = previews_domain(domain)
        if beside is None:
            raise UsageMistake(
                f"Previews need a domain beside {domain}: not part of it, and not its parent. "
                "Give one with --previews-domain."
            )
        given["previews"] = beside
    if given.get("kind") == "swarm":
        given = {"database": "postgresql", "nodes": 3} | given
    if "tls" not in given and given.get("certificate") == INTERNAL:
        given["tls"] = "caddy"
    try:
        return Deployment.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        said = problem_of(first).removeprefix("PREVIEW_")
        raise UsageMistake(f"{said[:1].upper()}{said[1:].rstrip('.')}.") from None


def _is_below(name: str, domain: str) -> bool:
    return name.endswith(f".{domain}")
