"""The README's commands and table cannot rot."""

import re
from pathlib import Path

from figures import table

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def commands() -> list[str]:
    return re.findall(r"^(python3 -m venv .*)$", README, re.MULTILINE)


def test_readme_opens_with_two_commands_that_name_files_that_exist() -> None:
    main, tests = commands()

    assert main.endswith(".venv/bin/tocsin demo")
    assert tests.endswith(".venv/bin/pytest")
    for file in re.findall(r"requirements/\S+\.txt", main + tests):
        text = (ROOT / file).read_text("utf-8")
        assert "--hash=sha256:" in text
        assert "index-url" not in text


def test_ci_runs_the_readmes_test_command() -> None:
    pattern = re.search(r"s/\^\\\((.*)\\\)\$/", (ROOT / ".ci/run").read_text("utf-8"))

    assert pattern is not None
    assert re.fullmatch(pattern[1], commands()[1])
    assert not re.fullmatch(pattern[1], commands()[0])


def test_readme_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_readme_table_is_what_the_result_files_say() -> None:
    shown = re.search(r"<!-- benchmarks -->\n(.*)<!-- /bench", README, re.DOTALL)

    assert shown is not None
    assert shown[1] == table(ROOT / "benchmarks" / "results")
