"""`tocsin mail`: takes mail from an MTA's pipe, and says how a message is understood."""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import make_url

from tocsin.clock import SystemClock
from tocsin.errors import Unavailable
from tocsin.links import Links, read_secrets
from tocsin.log import redact
from tocsin.mail.incoming import understand
from tocsin.settings import Settings, read_settings
from tocsin.steps.collaborators import open_database, sender_of
from tocsin.steps.incoming import MailFiling, file_message

app = typer.Typer(
    help="Mail that comes in: take it from a pipe, try how it is understood.",
    no_args_is_help=True,
)

_TRY_AGAIN = os.EX_TEMPFAIL


@app.command()
def receive() -> None:
    """
    File one message from standard input; for an MTA's pipe.

    Exit code 0: it is on record. 75: not now, keep it and try again (EX_TEMPFAIL).
    """
    try:
        settings = read_settings()
        content = sys.stdin.buffer.read(settings.max_mail_bytes)
        while sys.stdin.buffer.read(1 << 20):
            pass  # an MTA whose pipe closes early takes the message for refused
        _file(settings, content)
    except Exception as error:  # noqa: BLE001 - whatever it is, the MTA keeps the mail
        # The log of the MTA: what is wrong, and nothing of the message.
        traceback.print_tb(error.__traceback__, file=sys.stderr)
        print(redact(f"not filed, try again: {error}")[:500], file=sys.stderr)
        raise typer.Exit(_TRY_AGAIN) from None


@app.command()
def explain(
    files: Annotated[
        list[Path],
        typer.Argument(help="Messages (.eml), each a file; - is standard input."),
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, a line for each message.")
    ] = False,
) -> None:
    """Say how messages would be understood, without filing them or looking anybody up."""
    for file in files:
        is_stdin = str(file) == "-"
        mail = understand(sys.stdin.buffer.read() if is_stdin else file.read_bytes())
        bounce = mail.bounce
        told: dict[str, object] = {"file": str(file), "kind": mail.kind.value}
        if bounce is not None:
            told |= {
                "permanent": bounce.is_permanent,
                "reason": bounce.reason.value,
                "status": bounce.status,
                "recipients": list(bounce.recipients),
                "detail": bounce.detail,
            }
        told |= {
            "return_path_token": mail.named.verp_token,
            "message_ids": list(mail.named.message_ids),
            "topics": [topic.value for topic in mail.written.topics],
        }
        if as_json:
            print(json.dumps(told, ensure_ascii=False))
        else:
            print("\n".join(f"{name + ':':19} {_shown(told[name])}" for name in told))
            print()


def _file(settings: Settings, content: bytes) -> None:
    database = make_url(settings.database)
    path = database.database
    if database.get_backend_name() == "sqlite" and not Path(path or "").is_file():
        # A wrong data directory must not swallow mail into a database of its own.
        raise Unavailable("there is no database: check TOCSIN_DATA_DIRECTORY")
    with open_database(settings) as engine:
        file_message(
            MailFiling(
                engine=engine,
                links=Links(read_secrets(settings.link_secrets)),
                mail_domain=sender_of(settings).mail_domain,
                clock=SystemClock(),
            ),
            content,
        )


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
