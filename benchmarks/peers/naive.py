"""
Sends messages as is often seen: an object, two commits and a connection for each.

The argument is a JSON file; prints the seconds.
"""

import asyncio
import json
import sys
from email.message import EmailMessage
from pathlib import Path
from time import perf_counter

import aiosmtplib
from sqlmodel import Field, Session, SQLModel, create_engine, select

given = json.loads(Path(sys.argv[1]).read_text("utf-8"))


class Mail(SQLModel, table=True):
    """One message to send."""

    id: int | None = Field(default=None, primary_key=True)
    recipient: str
    state: str = "planned"


async def send(session: Session, mail: Mail) -> None:
    """Claim, write, send, record."""
    mail.state = "sending"
    session.commit()
    message = EmailMessage()
    message["From"] = "Example CA <certificates@ca.example>"
    message["To"] = mail.recipient
    message["Subject"] = f"Your certificates for clinic-{mail.id} will be revoked"
    message.set_content(given["text"].replace("@@", str(mail.id)))
    message.add_alternative(given["html"].replace("@@", str(mail.id)), subtype="html")
    await aiosmtplib.send(message, hostname="127.0.0.1", port=given["port"])
    mail.state = "sent"
    session.commit()


async def main() -> None:
    """Fill a table, then send what is in it, one after the other."""
    engine = create_engine(f"sqlite:///{given['database']}")
    SQLModel.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all(
            Mail(recipient=f"admin@clinic-{number}.example")
            for number in range(given["count"])
        )
        session.commit()
        start = perf_counter()
        mails = session.exec(select(Mail)).all()
        for mail in mails:
            await send(session, mail)
        seconds = perf_counter() - start
    print(json.dumps({"seconds": seconds, "taken": len(mails)}))


asyncio.run(main())
