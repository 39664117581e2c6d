"""Peak memory of whole incidents of three sizes, each in a process of its own."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from figures import Figure

SIZES = (1_111, 10_000, 100_000)
LIMIT_MB = 400
MAY_GROW = 1.5


def measure() -> list[Figure]:
    """Run an incident of each size from list to proof, and compare the peaks."""
    peaks: dict[int, float] = {}
    seconds: dict[int, float] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            here = Path(__file__).with_name("whole_incident.py")
            _run(here, "make", size, folder)
            told = json.loads(_run(here, "run", size, folder))
        if told["published_before_deadline"] != size:
            raise SystemExit(f"{size}: {told}")
        peaks[size] = told["peak_rss_bytes"] / 1e6
        seconds[size] = told["seconds"]
    growth = peaks[SIZES[2]] / peaks[SIZES[1]]
    figures = [
        Figure(
            name=f"peak memory of an incident of {size:,} ({seconds[size]:.0f} s)",
            value=round(peak, 1),
            unit="MB",
            base=None,
            base_value=None,
            ratio=None,
            spread=(round(peak, 1), round(peak, 1)),
            goal=f"≤ {LIMIT_MB} MB",
            met=peak <= LIMIT_MB,
        )
        for size, peak in peaks.items()
    ]
    figures.append(
        Figure(
            name="memory at 100,000 beside 10,000",
            value=round(peaks[SIZES[2]], 1),
            unit="MB",
            base="10,000",
            base_value=round(peaks[SIZES[1]], 1),
            ratio=round(growth, 3),
            spread=(round(growth, 3), round(growth, 3)),
            goal=f"≤ {MAY_GROW} of the base",
            met=growth <= MAY_GROW,
        )
    )
    return figures


def _run(script: Path, part: str, size: int, folder: str) -> str:
    return subprocess.run(
        [sys.executable, "-P", str(script), part, str(size), folder],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
