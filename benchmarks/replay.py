"""The replay of 2024: how long it takes, and which share of it is Prefect's."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from figures import Figure

LIMIT_SECONDS = 300
CERTIFICATES = 1_111


def measure() -> list[Figure]:
    """Run `tocsin demo` as a user does, and read its summary."""
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        command = Path(sys.executable).with_name("tocsin")
        subprocess.run(
            [
                str(command),
                "demo",
                "--exit",
                "--directory",
                f"{folder}/demo",
                "--summary",
                str(summary),
            ],
            check=True,
        )
        told = json.loads(summary.read_text("utf-8"))
    wall, prefect = told["wall_seconds"], told["prefect_seconds"]
    share = prefect / wall
    return [
        Figure(
            name="the 2024 incident, lived through",
            value=round(wall, 1),
            unit="s",
            base=None,
            base_value=None,
            ratio=None,
            spread=(wall, wall),
            goal=f"≤ {LIMIT_SECONDS} s, 1,111 of 1,111 in time",
            met=wall <= LIMIT_SECONDS
            and told["published_before_deadline"] == CERTIFICATES,
        ),
        Figure(
            name="of that, spent in Prefect",
            value=round(prefect, 1),
            unit="s",
            base="the whole",
            base_value=round(wall, 1),
            ratio=round(share, 3),
            spread=(round(share, 3), round(share, 3)),
            goal="to be known",
            met=None,
        ),
    ]
