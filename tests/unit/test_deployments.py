"""What the runner serves and what the files declare is the same."""

import configparser
import importlib.util
import json
from pathlib import Path

import yaml
from prefect.client.schemas.schedules import IntervalSchedule

from flows.serve import deployments
from tocsin.settings import Settings

FOLDER = Path(__file__).resolve().parents[2] / "deployments"


def test_file_declares_what_the_runner_serves() -> None:
    declared = yaml.safe_load((FOLDER / "prefect.yaml").read_text("utf-8"))

    assert [
        (
            one["name"],
            one["entrypoint"],
            one["description"],
            one["tags"],
            [each["interval"] for each in one.get("schedules", [])],
        )
        for one in declared["deployments"]
    ] == [
        (
            one.name,
            one.entrypoint,
            one.description,
            one.tags,
            [_interval(each.schedule) for each in one.schedules or []],
        )
        for one in deployments()
    ]


def _interval(schedule: object) -> float:
    assert isinstance(schedule, IntervalSchedule)
    return schedule.interval.total_seconds()


def test_no_deployment_has_a_concurrency_limit_since_a_killed_runner_keeps_its_slot() -> (
    None
):
    assert {one.concurrency_limit for one in deployments()} == {None}
    assert "concurrency" not in [
        key
        for one in yaml.safe_load((FOLDER / "prefect.yaml").read_text("utf-8"))[
            "deployments"
        ]
        for key in one
    ]


def test_units_start_modules_that_exist_safely() -> None:
    units = sorted((FOLDER / "systemd").glob("*.service"))

    assert len(units) == 5
    for unit in units:
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.read(unit)
        command = parser["Service"]["ExecStart"].split()
        assert command[1:3] == ["-P", "-m"]
        assert importlib.util.find_spec(command[3]) is not None


def test_the_guards_container_holds_and_starts_what_exists() -> None:
    root = FOLDER.parent
    lines = (FOLDER / "guard" / "Containerfile").read_text("utf-8").splitlines()
    copied = [
        name
        for line in lines
        if line.startswith("COPY ")
        for name in line.split()[1:-1]
    ]
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.read(FOLDER / "systemd" / "tocsin-guard.service")
    _, *arguments = unit["Service"]["ExecStart"].split()
    (entry,) = [line for line in lines if line.startswith("ENTRYPOINT ")]
    (check,) = [line.strip() for line in lines if "--is-well" in line]

    assert [name for name in copied if not (root / name).exists()] == []
    assert set(copied) >= {"flows", "models", "templates", "tocsin"}
    assert json.loads(entry.removeprefix("ENTRYPOINT ")) == ["python", *arguments]
    assert json.loads(check.removeprefix("CMD ")) == ["python", *arguments, "--is-well"]
    assert "USER 10001" in lines


def test_the_guards_container_is_given_settings_that_exist() -> None:
    service = yaml.safe_load((FOLDER / "guard" / "compose.yaml").read_text("utf-8"))[
        "services"
    ]["guard"]
    root = FOLDER / "guard" / service["build"]["context"]
    (heading,) = [
        line
        for line in (FOLDER / "guard" / "Containerfile").read_text("utf-8").splitlines()
        if line.startswith("ENV ")
    ]
    named = [
        *service["environment"],
        *(pair.partition("=")[0] for pair in heading.split()[1:]),
    ]

    assert (root / service["build"]["dockerfile"]).is_file()
    assert {
        name.removeprefix("TOCSIN_").lower()
        for name in named
        if name.startswith("TOCSIN_")
    } <= set(Settings.model_fields)
    assert service["restart"] == "always"


def test_guard_unit_waits_for_nothing_but_the_network() -> None:
    text = (FOLDER / "systemd" / "tocsin-guard.service").read_text("utf-8")

    assert [line for line in text.splitlines() if line.startswith("After=")] == [
        "After=network.target"
    ]
    assert "Requires=" not in text
