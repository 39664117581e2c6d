"""
Sends messages of text and HTML through Django, over one connection.

Run in an environment of its own, with a JSON file as the argument; prints the seconds.
"""

import json
import sys
from pathlib import Path
from time import perf_counter

import django  # type: ignore[import-not-found]
from django.conf import settings  # type: ignore[import-not-found]
from django.core.mail import (  # type: ignore[import-not-found]
    EmailMultiAlternatives,
    get_connection,
)

given = json.loads(Path(sys.argv[1]).read_text("utf-8"))
settings.configure(EMAIL_HOST="127.0.0.1", EMAIL_PORT=given["port"])
django.setup()


def message(number: int) -> EmailMultiAlternatives:
    """Write one message."""
    one = EmailMultiAlternatives(
        subject=f"Your certificates for clinic-{number}.example will be revoked",
        body=given["text"].replace("@@", str(number)),
        from_email="Example CA <certificates@ca.example>",
        to=[f"Chan Tai Man <admin@clinic-{number}.example>"],
    )
    one.attach_alternative(given["html"].replace("@@", str(number)), "text/html")
    return one


start = perf_counter()
sent = get_connection().send_messages(
    message(number) for number in range(1, given["count"] + 1)
)
print(json.dumps({"seconds": perf_counter() - start, "taken": sent}))
