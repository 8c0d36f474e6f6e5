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
EXAMPLE = (CHECKOUT / "deploy/.env.example").read_text("utf-8")
DEPLOY_FILES = {"Dockerfile": DOCKERFILE, "deploy/compose.yaml": COMPOSE_TEXT, "deploy/.env.example": EXAMPLE}
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
