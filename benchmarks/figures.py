"""What a benchmark gives, and how it is kept."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """
    One figure beside its peer or bound, measured in the same run.

    Args:
        name: What was measured.
        value: Ours: the median of the rounds.
        unit: Of both values.
        base: The peer or bound; None where there is none.
        base_value: Its median.
        ratio: The median of the paired ratios.
        spread: The lowest and highest paired ratio, or value where there is no base.
        goal: In words.
        met: None where the goal is only to be known.

    """

    name: str
    value: float
    unit: str
    base: str | None
    base_value: float | None
    ratio: float | None
    spread: tuple[float, float]
    goal: str
    met: bool | None


def paired(
    name: str,
    ours: Sequence[float],
    base: str,
    theirs: Sequence[float],
    *,
    unit: str,
    at_least: float | None,
) -> Figure:
    """Compare rates that were measured in turns; higher is better."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    ratio = statistics.median(ratios)
    return Figure(
        name=name,
        value=round(statistics.median(ours), 1),
        unit=unit,
        base=base,
        base_value=round(statistics.median(theirs), 1),
        ratio=round(ratio, 3),
        spread=(round(min(ratios), 3), round(max(ratios), 3)),
        goal="to be known" if at_least is None else f"≥ {at_least:.3g} of the base",
        met=None if at_least is None else ratio >= at_least,
    )


def write(figures: Sequence[Figure], file: Path) -> None:
    """Keep the figures with the machine and the instant they were measured on."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        json.dumps(
            {
                "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),  # noqa: TID251
                "machine": (
                    f"{os.cpu_count()} cores, {platform.machine()}, "
                    f"{platform.system()}, Python {platform.python_version()}"
                ),
                "figures": [asdict(figure) for figure in figures],
            },
            indent=2,
            ensure_ascii=False,
        )
        + "\n",
        encoding="utf-8",
    )


def table(directory: Path) -> str:
    """Return the README's table of everything that was measured, as Markdown."""
    lines = [
        "| Figure | Value | Beside | Ratio (spread) | Goal | Met |",
        "|---|--:|---|--:|---|---|",
    ]
    for file in sorted(directory.glob("*.json")):
        for figure in json.loads(file.read_text("utf-8"))["figures"]:
            beside = "-"
            if figure["base"]:
                beside = f"{figure['base']}: {figure['base_value']:,} {figure['unit']}"
            low, high = figure["spread"]
            ratio = (
                "-"
                if figure["ratio"] is None
                else f"{figure['ratio']:.2f} ({low:.2f} - {high:.2f})"
            )
            met = {True: "yes", False: "**no**", None: "-"}[figure["met"]]
            lines.append(
                f"| `{file.stem}`: {figure['name']} | {figure['value']:,} "
                f"{figure['unit']} | {beside} | {ratio} | {figure['goal']} | {met} |"
            )
    return "\n".join(lines) + "\n"
