"""What exists is documented: each command, setting and notice kind has its place."""

from pathlib import Path

import pytest
import typer.main

from models.terms import NoticeKind
from tocsin.ca.factory import EMBEDDED, backend_names, find_backend
from tocsin.cli.app import app
from tocsin.settings import Settings

FOLDER = Path(__file__).resolve().parents[2] / "docs"
DOCS = "\n".join(path.read_text("utf-8") for path in FOLDER.rglob("*.md"))
BACKENDS = (FOLDER / "backends.md").read_text("utf-8")
SETTINGS = (FOLDER / "settings.md").read_text("utf-8")


def commands() -> list[str]:
    group = typer.main.get_group(app)
    names: list[str] = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        names += (
            [f"tocsin {name} {verb}" for verb in inner] if inner else [f"tocsin {name}"]
        )
    return names


@pytest.mark.parametrize("command", commands())
def test_command_is_named_in_the_docs(command: str) -> None:
    assert command in DOCS


@pytest.mark.parametrize("setting", list(Settings.model_fields))
def test_setting_says_what_it_means_and_is_named_in_the_docs(setting: str) -> None:
    meaning = Settings.model_fields[setting].description

    assert meaning
    (row,) = [
        line for line in SETTINGS.splitlines() if f"`TOCSIN_{setting.upper()}`" in line
    ]
    assert meaning in row


@pytest.mark.parametrize("name", [n for n in backend_names() if n != EMBEDDED])
def test_backend_and_its_options_are_in_the_docs(name: str) -> None:
    kind = find_backend(name)
    options = kind.ca.model_fields | kind.issuer.model_fields

    assert f"### `{name}`: {kind.title}" in BACKENDS
    for option, field in options.items():
        assert f"| `{option}` |" in BACKENDS
        assert field.description in BACKENDS


@pytest.mark.parametrize("kind", list(NoticeKind))
def test_notice_kind_is_named_in_the_docs(kind: NoticeKind) -> None:
    assert f"`{kind}`" in DOCS
