"""A command that is a CA: JSON lines in, JSON lines out, the embedded CA behind it."""

# ruff: noqa: T201 - it speaks on stdout

import json
import sys
from pathlib import Path

from models.terms import CertificateId, Reason
from tocsin.ca.backend import RevocationRequest
from tocsin.ca.embedded import EmbeddedCa
from tocsin.clock import SystemClock


def main() -> None:
    directory, verb, *mood = sys.argv[1:]
    ca = EmbeddedCa(Path(directory), clock=SystemClock())
    given = [json.loads(line) for line in sys.stdin]
    if verb == "publish":
        ca.publish(given[0]["issuer"])
        return
    requests = [
        RevocationRequest(
            certificate_id=CertificateId(line["id"]),
            issuer_key=line["issuer"],
            serial=int(line["serial"], 16),
            reason=Reason(line["reason_code"]),
        )
        for line in given
    ]
    if verb == "look-up":
        for status in ca.look_up(requests):
            said = {"id": status.certificate_id, "status": status.kind}
            print(json.dumps(said | told(status)))
        return
    for number, answer in enumerate(ca.revoke(requests)):
        if mood == ["dies"] and number == 2:
            print("disk full", file=sys.stderr)
            sys.exit(1)
        said = {"id": answer.certificate_id, "answer": answer.kind}
        print(json.dumps(said | told(answer)), flush=True)


def told(found: object) -> dict[str, object]:
    at, reason = getattr(found, "revoked_at", None), getattr(found, "reason", None)
    return {
        "revoked_at": at and at.isoformat(),
        "reason": None if reason is None else reason.label,
    }


if __name__ == "__main__":
    main()
