"""Finds the programs that benchmarks run beside us."""

import shutil


def program(name: str) -> str:
    """Return where a program is; Debian keeps some where only root looks."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if found is None:
        raise RuntimeError(
            f"{name} is not installed: smtp-source and smtp-sink come with Debian's "
            "postfix, node and npm with nodejs and npm"
        )
    return found
