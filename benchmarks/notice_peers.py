"""Other senders, each in a process of its own, installed by its usual client."""

import json
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from programs import program

HERE = Path(__file__).resolve().parent / "peers"
HOST = "127.0.0.1"
CONNECTIONS = 10
PER_CONNECTION = 100
_DJANGO = "Django==5.2.*"


class Peers:
    """
    Who else sends.

    Args:
        folder: Where they are installed; must exist.
        port: Of the sink.
        text: The text of a message, ``@@`` where each differs.
        html: The same as HTML.
        key: Signs with DKIM, RSA, PEM.

    """

    def __init__(
        self, folder: Path, *, port: int, text: str, html: str, key: str
    ) -> None:
        self._folder = folder
        self._port = port
        self._given = {"port": port, "text": text, "html": html}
        self._key = key
        _run(
            [program("npm"), "install", "--no-audit", "--no-fund", "--silent"],
            _copied(HERE / "package.json", folder),
        )
        venv.create(folder / "venv", with_pip=True)
        self._django = str(folder / "venv" / "bin" / "python")
        _run([self._django, "-m", "pip", "install", "--quiet", _DJANGO], folder)

    def smtp_source(self, count: int, *, size: int) -> float:
        """Return messages a second of Postfix's own: the same bytes again and again."""
        command = [
            *(program("smtp-source"), "-d"),  # -d: keep the connections
            *("-s", str(CONNECTIONS), "-m", str(count), "-l", str(size)),
            *("-f", "bounce@bounces.ca.example", "-t", "admin@clinic.example"),
            f"{HOST}:{self._port}",
        ]
        start = perf_counter()
        _run(command, self._folder)
        return count / (perf_counter() - start)

    def nodemailer(self, count: int, *, signs: bool) -> float:
        """Return messages a second of nodemailer's pool, composing text and HTML."""
        dkim = {
            "domainName": "ca.example",
            "keySelector": "tocsin",
            "privateKey": self._key,
        }
        return self._rate(
            [
                program("node"),
                str(HERE / "nodemailer.mjs"),
                str(self._folder / "package.json"),
            ],
            count,
            connections=CONNECTIONS,
            per_connection=PER_CONNECTION,
            dkim=dkim if signs else None,
        )

    def django(self, count: int) -> float:
        """Return messages a second of Django, over its one connection."""
        return self._rate([self._django, str(HERE / "django_mail.py")], count)

    def naive(self, count: int) -> float:
        """Return messages a second: an object, two commits, a connection for each."""
        database = self._folder / "naive.sqlite"
        database.unlink(missing_ok=True)
        return self._rate(
            [sys.executable, str(HERE / "naive.py")], count, database=str(database)
        )

    def _rate(self, command: Sequence[str], count: int, **more: object) -> float:
        file = self._folder / "given.json"
        file.write_text(json.dumps({**self._given, "count": count, **more}), "utf-8")
        told = json.loads(_run([*command, str(file)], self._folder))
        if told["taken"] != count:
            raise RuntimeError(f"{command[0]}: {told['taken']} of {count} were sent")
        return count / float(told["seconds"])


def _copied(file: Path, folder: Path) -> Path:
    (folder / file.name).write_bytes(file.read_bytes())
    return folder


def _run(command: Sequence[str], folder: Path) -> str:
    done = subprocess.run(
        command, check=True, timeout=600, cwd=folder, stdout=subprocess.PIPE, text=True
    )
    return done.stdout
