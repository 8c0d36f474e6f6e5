"""The manifests in `deploy/kubernetes` are valid, agree with one another, and with the program that they start.

Kinds of Kubernetes itself are held against its own schemas; those of KEDA against what Kabar has. No cluster is needed.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest
import yaml

from schemas.catalogue import Catalogue, Lane
from tests.house.commands import complaint
from tests.house.promql import complaints
from tests.house.test_deploy import CLOSING_SECONDS
from worker.bootstrap import DRAIN_SECONDS, Role
from worker.broker.topology import deliver_queue, intake_queue, topology
from worker.deployment import BUILT_IN_EVENTS
from worker.settings import PREFIX, ChannelName, Settings, load_settings, variable

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / "deploy/kubernetes"
SCHEMAS = json.loads((CHECKOUT / "tests/house/data/kubernetes/1.37.json").read_text("utf-8"))
Manifest = dict[str, Any]

FILES: dict[str, list[Manifest]] = {
    path.name: list(yaml.safe_load_all(path.read_text("utf-8"))) for path in sorted(FOLDER.glob("*.yaml"))
}
KUSTOMIZATION: Manifest = FILES.pop("kustomization.yaml")[0]
SECRETS = FILES["secrets.example.yaml"]
MANIFESTS = [each for manifests in FILES.values() for each in manifests]
CORE = [each for each in MANIFESTS if "keda.sh" not in each["apiVersion"]]
DEPLOYMENTS = {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "Deployment"}
SCALED = {each["metadata"]["name"]: each for each in MANIFESTS if each["kind"] == "ScaledObject"}
PODS = [each["spec"]["template"] for each in MANIFESTS if each["kind"] in {"Deployment", "Job"}]
DEFAULT_MAX_CONNECTIONS = 100
KEPT_FOR_THE_SUPERUSER = 3


def name_of(manifest: Manifest) -> str:
    if "kind" not in manifest:
        return str(manifest["spec"]["containers"][0]["args"][-1])
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def find(kind: str, name: str) -> Manifest:
    (found,) = [each for each in MANIFESTS if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def container_of(pod: Manifest) -> Manifest:
    (container,) = pod["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def environment(pod: Manifest) -> dict[str, str]:
    """The variables of a pod's container, from the settings and the example of the secrets."""
    merged: dict[str, str] = {}
    for source in container_of(pod)["envFrom"]:
        if "configMapRef" in source:
            merged |= find("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            merged |= find("Secret", source["secretRef"]["name"])["stringData"]
    return merged


def channels() -> tuple[str, ...]:
    return Settings(
        **{  # type: ignore[arg-type]  # pydantic reads them as it reads the environment
            name.removeprefix(PREFIX).lower(): value for name, value in environment(PODS[0]).items()
        }
    ).channels


def is_subset(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()


@pytest.mark.parametrize("manifest", CORE, ids=name_of)
def test_a_manifest_is_what_kubernetes_takes(manifest: Manifest) -> None:
    """No field is misspelt, missing or of the wrong kind: the API server would take it as it stands."""
    schema = {**SCHEMAS["kinds"][manifest["kind"]], "$defs": SCHEMAS["$defs"]}

    errors = [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in jsonschema_rs.validator_for(schema).iter_errors(manifest)
    ]

    assert errors == []


def test_the_schemas_notice_a_misspelt_field() -> None:
    """The check of manifests lets no unknown field pass, however deep it is."""
    wrong = json.loads(json.dumps(find("Deployment", "kabar-timer")))
    container_of(wrong["spec"]["template"])["livenessprobe"] = {}

    assert not jsonschema_rs.is_valid({**SCHEMAS["kinds"]["Deployment"], "$defs": SCHEMAS["$defs"]}, wrong)


def test_kustomize_applies_every_file_but_the_secrets() -> None:
    """One command applies all of it; the example of the secrets is nobody's secret."""
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    (image,) = KUSTOMIZATION["images"]

    assert set(KUSTOMIZATION["resources"]) == FILES.keys() - {"secrets.example.yaml"}
    assert {container_of(pod)["image"] for pod in PODS} == {image["name"]}
    assert image["newTag"] == version
    assert all("namespace" not in each["metadata"] for each in MANIFESTS)


@pytest.mark.parametrize("pod", PODS, ids=name_of)
def test_a_pod_starts_the_program_with_settings_it_takes(pod: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its command exists, and its settings are valid once the passwords are filled in."""
    given = environment(pod)
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    settings = load_settings(given)

    assert complaint(container_of(pod)["args"]) == ""
    assert settings.http_host == "0.0.0.0"
    assert len(settings.amqp_urls) == 3
    assert given.keys() <= {variable(field) for field in Settings.model_fields}


def test_every_secret_is_a_secret_and_nothing_else_is() -> None:
    """What must not be seen stands in the secret, and no password stands in the settings."""
    secret = {variable(name) for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    settings, secrets = find("ConfigMap", "kabar-settings")["data"], find("Secret", "kabar-secrets")["stringData"]

    assert settings.keys() & secret == set()
    assert secrets.keys() <= secret
    assert all("PASSWORD" in value for each in SECRETS for value in each["stringData"].values())


@pytest.mark.parametrize("pod", PODS, ids=name_of)
def test_a_pod_is_given_no_more_than_it_needs(pod: Manifest) -> None:
    """It is not root, writes nowhere, has no token of the cluster, and no variable that Kabar would refuse."""
    spec, container = pod["spec"], container_of(pod)

    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] == 10001
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert container["resources"]["limits"].keys() == {"memory"}


def test_every_role_has_a_deployment_and_a_budget() -> None:
    """Each role can be scaled and moved by itself, and never are two pods of one role taken at a time."""
    roles = {container_of(each["spec"]["template"])["args"][1]: each for each in DEPLOYMENTS.values()}

    assert roles.keys() == set(get_args(Role))
    for role, deployment in roles.items():
        labels = deployment["spec"]["template"]["metadata"]["labels"]
        budget = find("PodDisruptionBudget", f"kabar-{role}")["spec"]
        others = [each["metadata"]["labels"] for each in PODS if each["metadata"]["labels"] != labels]
        for selector in (deployment["spec"]["selector"]["matchLabels"], budget["selector"]["matchLabels"]):
            assert is_subset(selector, labels)
            assert not any(is_subset(selector, other) for other in others)
        assert budget["maxUnavailable"] == 1


@pytest.mark.parametrize("deployment", DEPLOYMENTS.values(), ids=name_of)
def test_a_pod_is_asked_where_it_answers_and_given_time_to_drain(deployment: Manifest) -> None:
    """Probes ask pages that exist on the port that is open, and no pod is killed while it still sends."""
    pod = deployment["spec"]["template"]
    container = container_of(pod)
    (port,) = container["ports"]
    pages = set(re.findall(r'add_get\("(/\w+)"', (CHECKOUT / "worker/health.py").read_text("utf-8")))

    assert port["containerPort"] == Settings.model_fields["http_port"].default
    for probe, page in (("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": page, "port": port["name"]}
        assert page in pages
    assert pod["spec"]["terminationGracePeriodSeconds"] >= DRAIN_SECONDS + CLOSING_SECONDS


def test_prometheus_finds_every_worker_and_nothing_else() -> None:
    """The service of the metrics resolves to the pods of every role, ready or not, and not to the migration."""
    service = find("Service", "kabar-metrics")["spec"]
    found = [pod for pod in PODS if is_subset(service["selector"], pod["metadata"]["labels"])]

    assert found == [each["spec"]["template"] for each in DEPLOYMENTS.values()]
    assert service["publishNotReadyAddresses"]
    assert service["clusterIP"] == "None"
    for port in service["ports"]:
        assert all(port["targetPort"] in {each["name"] for each in container_of(pod)["ports"]} for pod in found)


def test_intakes_and_couriers_are_scaled_on_the_queues_they_consume() -> None:
    """Each queue of the deployment has its trigger, and no trigger names a queue or a deployment that is not there."""
    wanted = {
        "kabar-intake": {intake_queue(lane) for lane in Lane},
        "kabar-courier": {deliver_queue(channel, lane) for channel in channels() for lane in Lane},
    }
    declared = {queue.name for queue in topology(Catalogue.of_modules(BUILT_IN_EVENTS), get_args(ChannelName)).queues}

    assert SCALED.keys() == wanted.keys()
    for name, scaled in SCALED.items():
        spec = scaled["spec"]
        queues = {each["metadata"]["queueName"] for each in spec["triggers"] if each["type"] == "rabbitmq"}
        assert spec["scaleTargetRef"] == {"name": name}
        assert "replicas" not in DEPLOYMENTS[name]["spec"]
        assert queues == wanted[name]
        assert queues <= declared
        assert 2 <= spec["minReplicaCount"] <= spec["maxReplicaCount"]


def test_couriers_are_scaled_on_how_long_the_oldest_waits() -> None:
    """The age of the oldest delivery scales the couriers, by a metric and a label that Kabar has."""
    triggers = [each for each in SCALED["kabar-courier"]["spec"]["triggers"] if each["type"] == "prometheus"]
    queries = [each["metadata"]["query"] for each in triggers]

    assert any("kabar_oldest_waiting_seconds" in query for query in queries)
    assert [wrong for query in queries for wrong in complaints(query, {"lane": set(Lane)})] == []
    assert all(each["metricType"] == "Value" for each in triggers)


def test_keda_reads_the_broker_with_a_secret_that_is_there() -> None:
    """Every trigger of the broker has its credentials from the example of the secrets."""
    (access,) = [each for each in MANIFESTS if each["kind"] == "TriggerAuthentication"]

    for parameter in access["spec"]["secretTargetRef"]:
        secret = find("Secret", parameter["name"])["stringData"]
        assert secret[parameter["key"]].startswith("amqp://")
    for scaled in SCALED.values():
        for trigger in scaled["spec"]["triggers"]:
            if trigger["type"] == "rabbitmq":
                assert trigger["authenticationRef"]["name"] == access["metadata"]["name"]


def test_the_database_has_room_for_the_most_pods() -> None:
    """With everything scaled out, and one pod more of each role during an upgrade, PostgreSQL's usual limit holds."""
    each = int(find("ConfigMap", "kabar-settings")["data"]["KABAR_DATABASE_CONNECTIONS"])
    most = sum(
        (SCALED[name]["spec"]["maxReplicaCount"] if name in SCALED else deployment["spec"]["replicas"])
        + deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        for name, deployment in DEPLOYMENTS.items()
    )

    assert most * each <= DEFAULT_MAX_CONNECTIONS - KEPT_FOR_THE_SUPERUSER
