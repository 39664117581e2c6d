"""Options files, as an operator would write them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_options(
    file: Path, *issuers: Mapping[str, Any], ca: Mapping[str, Any]
) -> Path:
    """Write the tables [ca] and [[issuer]] with these values."""
    lines = ["[ca]", *_lines(ca)]
    for issuer in issuers:
        lines += ["[[issuer]]", *_lines(issuer)]
    file.write_text("\n".join(lines) + "\n")
    return file


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{name} = {_value(value)}" for name, value in table.items()]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(_lines(value)) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(each) for each in value) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)
