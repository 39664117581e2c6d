"""
Measure one thing: `python benchmarks/run.py NAME`; `table` puts all into the README.

Each benchmark is a module with `measure() -> list[Figure]`.
"""

import argparse
import importlib
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests")]

from figures import table, write  # noqa: E402 - found beside this file

MODULES = {
    "import": "imports",
    "notices": "notices",
    "revocation": "revocation",
    "memory": "memory",
    "demo": "replay",
    "csr": "csrs",
    "portal": "portal",
}
README = HERE.parent / "README.md"
MARKS = re.compile(r"(<!-- benchmarks -->\n).*(<!-- /benchmarks -->)", re.DOTALL)


def main() -> None:
    """Run one benchmark and keep its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=[*MODULES, "table"])
    parser.add_argument("--out", type=Path, help="write the figures elsewhere")
    arguments = parser.parse_args()
    if arguments.name == "table":
        text = README.read_text("utf-8")
        README.write_text(
            MARKS.sub(lambda m: m[1] + table(HERE / "results") + m[2], text), "utf-8"
        )
        return
    figures = importlib.import_module(MODULES[arguments.name]).measure()
    file = arguments.out or HERE / "results" / f"{arguments.name}.json"
    write(figures, file)
    for figure in figures:
        ratio = "" if figure.ratio is None else f", {figure.ratio} of {figure.base}"
        print(
            f"{figure.name}: {figure.value:,} {figure.unit}{ratio} (goal: {figure.goal})"
        )
    print(f"written to {file}")


if __name__ == "__main__":
    main()
