"""The image and the compose file agree with the program they start. What needs a Docker engine is not tried here."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from tests.house.commands import complaint
from worker.bootstrap import DRAIN_SECONDS, Role
from worker.settings import PREFIX, Settings, variable

CHECKOUT = Path(__file__).parents[2]
DOCKERFILE = (CHECKOUT / "Dockerfile").read_text("utf-8")
COMPOSE_TEXT = (CHECKOUT / "deploy/compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
CLUSTER_TEXT = (CHECKOUT / "deploy/compose.cluster.yaml").read_text("utf-8")
CLUSTER: dict[str, dict[str, Any]] = yaml.safe_load(CLUSTER_TEXT)["services"]
NODE_CONFIGURATION = (CHECKOUT / "deploy/rabbitmq/rabbitmq.conf").read_text("utf-8")
EXAMPLE = (CHECKOUT / "deploy/.env.example").read_text("utf-8")
DEPLOY_FILES = {
    "Dockerfile": DOCKERFILE,
    "deploy/compose.yaml": COMPOSE_TEXT,
    "deploy/compose.cluster.yaml": CLUSTER_TEXT,
    "deploy/.env.example": EXAMPLE,
}
CLOSING_SECONDS = 3
"""What a process may need beyond its drain: to settle the last outcomes and to close its connections."""


def instructions(name: str) -> list[str]:
    """Answer the arguments of every instruction of that name in the Dockerfile, the last image's at the end."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(f"{name} ") for line in joined.splitlines() if line.startswith(f"{name} ")]


def seconds(duration: str) -> float:
    """Read a duration as compose writes it, such as 1m30s."""
    read = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert read, f"{duration} is no duration this test can read"
    return timedelta(minutes=int(read[1] or 0), seconds=int(read[2] or 0)).total_seconds()


def stand_in(text: str, values: dict[str, str]) -> str:
    """Put values in the place of ${VARIABLES} and their defaults, as compose does."""

    def value(found: re.Match[str]) -> str:
        name, operator, rest = found[1], found[2], found[3]
        if values.get(name):
            return values[name]
        assert operator == ":-", f"{name} must be set: {rest}"
        return rest

    return re.sub(r"\$\{(\w+)(?:(:-|:\?)([^}]*))?\}", value, text)


@pytest.mark.parametrize("file", DEPLOY_FILES)
def test_every_variable_in_a_deploy_file_is_a_setting(file: str) -> None:
    """A variable that somebody sets for a container is one that Kabar reads."""
    used = set(re.findall(rf"\b{PREFIX}\w+", DEPLOY_FILES[file]))

    assert used
    assert used <= {variable(field) for field in Settings.model_fields}


@pytest.mark.parametrize("service", OURS)
def test_a_service_starts_with_what_its_environment_says(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the two passwords set and nothing else, the settings of each of our containers are valid."""
    for name, text in OURS[service]["environment"].items():
        if text is not None:
            monkeypatch.setenv(name, stand_in(text, {"RABBITMQ_PASSWORD": "p1", "POSTGRES_PASSWORD": "p2"}))

    settings = Settings()

    assert settings.amqp_urls == ["amqp://kabar:p1@rabbitmq:5672/%2F"]
    assert settings.http_host == "0.0.0.0"


@pytest.mark.parametrize("service", OURS)
def test_a_service_runs_a_command_that_exists(service: str) -> None:
    """Each of our containers starts a command that the program knows."""
    assert complaint(OURS[service]["command"]) == ""


def test_every_role_has_a_service_of_its_own() -> None:
    """Each role can be scaled by itself: it has a service, without a fixed name or a port on the host."""
    running = {name: service for name, service in OURS.items() if service["command"][0] == "run"}

    assert sorted(role for service in running.values() for role in service["command"][1:]) == sorted(get_args(Role))
    assert not any({"container_name", "ports"} & service.keys() for service in running.values())


@pytest.mark.parametrize("service", OURS)
def test_a_container_is_given_the_time_to_drain(service: str) -> None:
    """No container is killed while it still finishes what it is sending."""
    assert seconds(OURS[service]["stop_grace_period"]) >= DRAIN_SECONDS + CLOSING_SECONDS


@pytest.mark.parametrize("service", sorted(SERVICES.keys() - OURS.keys()))
def test_a_foreign_image_is_pinned_and_checked(service: str) -> None:
    """What Kabar stands on is a known major version, and waited for until it works."""
    _, _, tag = SERVICES[service]["image"].partition(":")

    assert re.match(r"v?\d+", tag)
    assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_waits_for_what_can_tell_that_it_is_there(service: str) -> None:
    """Whatever a service waits for exists, and can reach the condition it is waited for."""
    for name, wait in SERVICES[service].get("depends_on", {}).items():
        if wait["condition"] == "service_healthy":
            assert "test" in SERVICES[name]["healthcheck"]
        else:
            assert wait["condition"] == "service_completed_successfully"
            assert SERVICES[name]["restart"] == "no"


def test_every_volume_is_declared() -> None:
    """No service names a volume that is not there."""
    named = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}

    assert named == COMPOSE["volumes"].keys()


def test_a_missing_password_stops_compose() -> None:
    """No deployment starts with a password that somebody else chose: each must be set, and none is in the tree."""
    passwords = re.findall(r"\$\{(\w*PASSWORD)([^}]*)\}", COMPOSE_TEXT)

    assert {name for name, _ in passwords} == {"RABBITMQ_PASSWORD", "POSTGRES_PASSWORD"}
    assert {remedy for _, remedy in passwords} == {":?set it in deploy/.env"}
    for name, _ in passwords:
        assert f"\n{name}=\n" in EXAMPLE
    assert "${RABBITMQ_COOKIE:?set it in deploy/.env}" in CLUSTER_TEXT
    assert "\n#RABBITMQ_COOKIE=\n" in EXAMPLE


def merged(service: str) -> dict[str, Any]:
    """A service of compose.yaml with what compose.cluster.yaml lays over it, as far as it does."""
    over = CLUSTER[service]
    base = SERVICES.get(service, {})
    both = {name: {**base.get(name, {}), **over.get(name, {})} for name in ("environment",)}
    return {**base, **over, **both, "volumes": [*base.get("volumes", []), *over.get("volumes", [])]}


def settings_of(text: str) -> dict[str, str]:
    """Read a configuration of RabbitMQ."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return dict(line.split(" = ") for line in lines)


def test_a_broker_of_three_nodes_is_the_one_that_kabar_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each node has the name that the others know it by, data of its own, and is tried by every worker."""
    nodes = {name: merged(name) for name in CLUSTER if name.startswith("rabbitmq")}
    known = {value for name, value in settings_of(NODE_CONFIGURATION).items() if ".classic_config.nodes." in name}
    declared = {**COMPOSE["volumes"], **yaml.safe_load(CLUSTER_TEXT)["volumes"]}
    given = {"RABBITMQ_PASSWORD": "p1", "POSTGRES_PASSWORD": "p2"}

    assert len(nodes) == 3
    assert {f"rabbit@{node['hostname']}" for node in nodes.values()} == known
    assert len({node["volumes"][0] for node in nodes.values()}) == 3
    assert {node["volumes"][0].partition(":")[0] for node in nodes.values()} <= declared.keys()
    for node in nodes.values():
        assert {node["image"], *node["environment"]} == {
            SERVICES["rabbitmq"]["image"],
            *merged("rabbitmq")["environment"],
        }
        assert node["healthcheck"] == SERVICES["rabbitmq"]["healthcheck"]
        assert [each for each in node["volumes"] if each.startswith("./rabbitmq/rabbitmq.conf:")]
    for service in CLUSTER.keys() - nodes.keys():
        for name, text in merged(service)["environment"].items():
            if text is not None:
                monkeypatch.setenv(name, stand_in(text, given))
        assert {re.search(r"@([\w-]+):", url)[1] for url in Settings().amqp_urls} == nodes.keys()  # type: ignore[index]


def test_the_broker_on_kubernetes_has_the_same_configuration() -> None:
    """Both brokers of three nodes keep queues and memory alike; only how the nodes find each other differs."""
    cluster, budget = yaml.safe_load_all((CHECKOUT / "deploy/rabbitmq/cluster.yaml").read_text("utf-8"))
    secrets = (CHECKOUT / "deploy/kubernetes/secrets.example.yaml").read_text("utf-8")
    alike = {name: value for name, value in settings_of(NODE_CONFIGURATION).items() if "cluster_formation" not in name}
    broker = cluster["metadata"]["name"]

    assert cluster["spec"]["replicas"] == 3
    assert cluster["spec"]["image"] == SERVICES["rabbitmq"]["image"]
    assert settings_of(cluster["spec"]["rabbitmq"]["additionalConfig"]) == alike
    assert budget["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {"app.kubernetes.io/name": broker}},
    }
    assert set(re.findall(r"@([\w.-]+):5672", secrets)) == {
        broker,
        *(f"{broker}-server-{number}.{broker}-nodes" for number in range(3)),
    }


def test_the_image_runs_the_program_itself_and_not_as_root() -> None:
    """Signals reach the program, for no shell stands before it; and who breaks into it is not root."""
    entrypoint, command = json.loads(instructions("ENTRYPOINT")[-1]), json.loads(instructions("CMD")[-1])
    _, _, check = instructions("HEALTHCHECK")[-1].partition(" CMD ")

    assert entrypoint == ["kabar"]
    assert complaint(command) == ""
    assert json.loads(check)[0] == "kabar"
    assert complaint(json.loads(check)[1:]) == ""
    assert instructions("USER")[-1] == "10001:10001"
    assert str(Settings.model_fields["http_port"].default) in instructions("EXPOSE")


def test_the_image_gets_everything_the_wheel_is_built_from() -> None:
    """What `.dockerignore` lets through is what the Dockerfile copies, and it is enough to build the package."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    ignore = (CHECKOUT / ".dockerignore").read_text("utf-8").splitlines()
    copied = {
        source
        for instruction in instructions("COPY")
        if not instruction.startswith("--from")
        for source in shlex.split(instruction)[:-1]
    }

    assert {"pyproject.toml", "uv.lock", project["project"]["readme"], *packages} == copied
    assert {f"!{source}" for source in copied} == {line for line in ignore if line.startswith("!")}


def test_the_image_has_a_python_that_the_package_allows() -> None:
    """Both stages stand on the same Python, and uv is pinned."""
    images = [line.split()[0] for line in instructions("FROM")]

    assert len({image for image in images if image.startswith("python:")}) == 1
    assert all(re.search(r":\d+\.\d+", image) for image in images)
