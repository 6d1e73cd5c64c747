"""The manifests of ``preview deploy init --kubernetes``, by the schemas of Kubernetes and all of them together."""

from __future__ import annotations

import itertools
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it has no types
import pytest
import yaml
from test_cli_deploy import CHOICES, files

# Of Kubernetes: that docs/install.md asks for, and the newest whose schemas the validator has.
OLDEST, NEWEST = "1.33", "1.37"


def manifests(made: dict[str, str]) -> list[Any]:
    return [one for name, text in made.items() if name.endswith(".yaml") for one in yaml.safe_load_all(text)]


def loose_ends(documents: list[Any]) -> set[str]:
    """The names that the manifests mention and do not have: schemas know nothing of these."""
    (stateful,) = (one["spec"] for one in documents if one["kind"] == "StatefulSet")
    pod, labels = stateful["template"]["spec"], stateful["template"]["metadata"]["labels"]
    (container,) = pod["containers"]
    have = {f"{one['kind']} {one['metadata']['name']}" for one in documents} | {"labels of the pods"}
    have |= {f"volume {one['name']}" for one in pod.get("volumes", ())}
    have |= {f"volume {one['metadata']['name']}" for one in stateful.get("volumeClaimTemplates", ())}
    have |= {f"port {one['name']}" for one in container["ports"]}
    wanted = {f"Service {stateful['serviceName']}"}
    wanted |= {f"volume {one['name']}" for one in container["volumeMounts"]}
    wanted |= {f"ConfigMap {one['configMapRef']['name']}" for one in container.get("envFrom", ())}
    wanted |= {f"Secret {one['secret']['secretName']}" for one in pod.get("volumes", ()) if "secret" in one}
    wanted |= {f"port {container[name]['httpGet']['port']}" for name in container if name.endswith("Probe")}
    selectors = [stateful["selector"]["matchLabels"]]
    for one in documents:
        if one["kind"] == "Service":
            have |= {f"{one['metadata']['name']}:{port['name']}" for port in one["spec"]["ports"]}
            wanted |= {f"port {port['targetPort']}" for port in one["spec"]["ports"]}
            selectors.append(one["spec"]["selector"])
        elif one["kind"] == "PodDisruptionBudget":
            selectors.append(one["spec"]["selector"]["matchLabels"])
        elif one["kind"] == "NetworkPolicy":
            selectors.append(one["spec"]["podSelector"]["matchLabels"])
        elif one["kind"] == "Ingress":
            paths = [path for rule in one["spec"]["rules"] for path in rule["http"]["paths"]]
            backends = [path["backend"]["service"] for path in paths]
            wanted |= {f"{service['name']}:{service['port']['name']}" for service in backends}
    wanted |= {"labels of the pods" if one.items() <= labels.items() else f"labels {one}" for one in selectors}
    return wanted - have


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("replicas: 3", "replica: 3"), ("replicas: 3", "replicas: three"), ("kind: StatefulSet", "kind: StatefulSets"),
        ("apiVersion: apps/v1", "apiVersion: apps/v1beta1"), ("procMount: Unmasked", "procmount: Unmasked"),
        ("containerPort: 7000", "containerPort: nodes"), ("name: preview\n          image", "image"),
    ],
)  # fmt: skip
def test_a_broken_manifest_is_refused(written: str, instead: str) -> None:
    text = files("kubernetes", database="postgresql", nodes=3)["preview.yaml"]
    assert written in text
    document = yaml.safe_load(text.replace(written, instead))
    with pytest.raises((kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError)):
        kubernetes_validate.validate(document, OLDEST, strict=True)


@pytest.mark.parametrize(
    ("written", "instead", "loose"),
    [
        ("configMapRef: {name: preview}", "configMapRef: {name: previews}", "ConfigMap previews"),
        ("{name: data, mountPath", "{name: date, mountPath", "volume date"),
        ("serviceName: preview-nodes", "serviceName: nodes", "Service nodes"),
        ("targetPort: nodes", "targetPort: node", "port node"),
        ("port: {name: http}", "port: {name: web}", "preview:web"),
        ("podSelector: {matchLabels: {app: preview}}", "podSelector: {matchLabels: {app: x}}", "labels {'app': 'x'}"),
    ],
)
def test_a_name_that_no_manifest_has_is_found(written: str, instead: str, loose: str) -> None:
    made = files("kubernetes", database="postgresql", nodes=3)
    assert any(written in text for text in made.values())
    broken = {name: text.replace(written, instead) for name, text in made.items()}
    assert loose_ends(manifests(broken)) == {loose}


@pytest.mark.parametrize("choices", CHOICES, ids=lambda one: "-".join(one.values())[:30])
def test_manifests_are_valid_for_kubernetes(choices: dict[str, str]) -> None:
    made = files("kubernetes", **choices)
    documents = manifests(made)
    for document in documents:
        kubernetes_validate.validate(document, OLDEST, strict=True)
    assert not loose_ends(documents)
    kinds = [document["kind"] for document in documents]
    expected = {"StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap"}
    expected |= {"Ingress"} if choices["tls"] != "none" else set()
    expected |= {"Secret"} if choices["database"] == "postgresql" or choices["entry"] == "secret" else set()
    assert sorted(kinds) == sorted(expected)
    pod = yaml.safe_load(made["preview.yaml"])["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys()


def test_manifests_of_several_nodes_are_valid_for_kubernetes() -> None:
    made = files("kubernetes", database="postgresql", nodes=3)
    documents = manifests(made)
    for document, version in itertools.product(documents, (OLDEST, NEWEST)):
        kubernetes_validate.validate(document, version, strict=True)
    assert not loose_ends(documents)
    named = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    stateful, headless = named["StatefulSet", "preview"]["spec"], named["Service", "preview-nodes"]["spec"]
    assert (stateful["replicas"], stateful["serviceName"], headless["clusterIP"]) == (3, "preview-nodes", "None")
    variables = [one["name"] for one in stateful["template"]["spec"]["containers"][0]["env"]]
    assert variables == ["PREVIEW_NODE_NAME", "POD_IP", "PREVIEW_NODE_ADDRESS"]
    assert named["ConfigMap", "preview"]["data"]["PREVIEW_CLUSTER"] == "true"
    assert len(named["Secret", "preview"]["stringData"]["cluster-secret"]) > 32
    # Other nodes only.
    (inside,) = [one for one in named["NetworkPolicy", "preview"]["spec"]["ingress"] if one["ports"][0]["port"] == 7000]
    assert inside["from"] == [{"podSelector": {"matchLabels": {"app": "preview"}}}]
