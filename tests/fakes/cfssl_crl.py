"""A program that writes the CRL of a CFSSL server, as its people would from cron."""

import base64
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path


def publish(folder: Path) -> None:
    """Write the CRL as CFSSL's people do: the serials of its database into gencrl."""
    with closing(sqlite3.connect(folder / "certs.db")) as database:
        serials = [
            row[0]
            for row in database.execute(
                "SELECT serial_number FROM certificates WHERE status = 'revoked'"
            )
        ]
    listed = folder / f"revoked-{os.getpid()}.txt"
    listed.write_text("".join(f"{serial}\n" for serial in serials))
    made = subprocess.run(
        ["cfssl", "gencrl", listed.name, "issuer.pem", "issuer-key.pem"],  # noqa: S607
        cwd=folder,
        capture_output=True,
        check=True,
    )
    listed.unlink()
    written = folder / f"ca.crl.{os.getpid()}.new"
    written.write_bytes(base64.b64decode(made.stdout))
    written.replace(folder / "ca.crl")


if __name__ == "__main__":
    publish(Path(sys.argv[1]))
