"""
Makes the locks: `uv` resolves, plain pip reads them.

pip before 23.3 takes a pin with an extra and the same pin without as two things: a
package that anybody asks for with an extra therefore stands in the lock twice.
"""

import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
OPTIONS = [
    "--universal",
    "--python-version",
    "3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
    "--no-strip-extras",
    "--quiet",
]
ENTRY = re.compile(r"^(?=[A-Za-z0-9])", re.MULTILINE)
WITH_EXTRA = re.compile(r"([A-Za-z0-9._-]+)\[[^\]]+\](==.*)", re.DOTALL)


def lock(name: str, *further: str) -> None:
    """Resolve pyproject.toml into one lock."""
    file = HERE / f"{name}.txt"
    subprocess.run(
        ["uv", "pip", "compile", *OPTIONS, *further, "pyproject.toml", "-o", file],
        cwd=HERE.parent,
        check=True,
    )
    entries = []
    for entry in ENTRY.split(file.read_text("utf-8")):
        if extra := WITH_EXTRA.match(entry):
            entries.append(extra[1] + extra[2])
        entries.append(entry)
    file.write_text("".join(entries), "utf-8")


if __name__ == "__main__":
    lock("tocsin")
    lock("dev", "--group", "dev", "-c", "requirements/tocsin.txt")
