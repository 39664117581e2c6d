"""
The command for Boulder: hands serials to its `admin` tool and says what became of each.

For the backend `command`: ``revoke = ["python3", "-P", "-m",
"tocsin.ca.backends.boulder", "revoke", "--admin", "/opt/boulder/admin", "--config",
"admin.json"]``. Written from Boulder's source (cmd/admin), never tried against Boulder.
"""

import argparse
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tocsin.ca.backend import AnswerKind
from tocsin.ca.transport.programs import Ended, run_program

# cmd/admin/cert.go: other words end the run before the first revocation.
_REASONS = frozenset(
    (
        "unspecified",
        "keyCompromise",
        "superseded",
        "cessationOfOperation",
        "privilegeWithdrawn",
    )
)
_DIGITS = 36  # core.SerialToString; one that is longer ends the run, too
_ALREADY = re.compile(r'not revoking \\?"([0-9a-f]{36})\\?": already revoked')
_FAILED = re.compile(r'failed to revoke \\?"([0-9a-f]{36})\\?": (.*)')
_COUNT = re.compile(r"encountered (\d+) errors while revoking")


def main() -> None:
    """Read JSON lines, run the tool once for each reason, write JSON lines."""
    parser = argparse.ArgumentParser(prog="tocsin.ca.backends.boulder")
    parser.add_argument("verb", choices=["revoke", "probe"])
    parser.add_argument("--admin", required=True, help="the admin tool")
    parser.add_argument("--config", required=True, help="its configuration")
    parser.add_argument("--parallelism", type=int, default=10)
    parser.add_argument("--timeout", type=float, default=280.0, help="seconds")
    given = parser.parse_args()
    tool = [given.admin, "-config", given.config]
    if given.verb == "probe":
        # Its default is a dry run, which reads the configuration and revokes nothing.
        serial = f"{1:0{_DIGITS}x}"
        ended = run_program(
            [*tool, "revoke-cert", "-serial", serial, "-reason", "superseded"],
            timeout=given.timeout,
        )
        sys.stderr.write(ended.err)
        sys.stdout.write("a dry run ended well\n" if ended.code == 0 else "")
        sys.exit(ended.code)
    requests = [json.loads(line) for line in sys.stdin]
    for reason, some in _by_reason(requests).items():
        known = {_spelled(each): each for each in some}
        with tempfile.NamedTemporaryFile("w", suffix=".serials") as file:
            file.writelines(f"{serial}\n" for serial in known)
            file.flush()
            ended = run_program(
                [
                    *tool,
                    "-dry-run=false",  # without it nothing is revoked, with exit code 0
                    "revoke-cert",
                    "-serials-file",
                    file.name,
                    "-reason",
                    reason,
                    "-parallelism",
                    str(given.parallelism),
                ],
                timeout=given.timeout,
            )
        for said in _answers(known, ended):
            sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def _by_reason(
    requests: Iterable[Mapping[str, Any]],
) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for request in requests:
        if len(request["serial"]) > _DIGITS:
            said = {"id": request["id"], "answer": AnswerKind.UNKNOWN}
            sys.stdout.write(json.dumps(said | {"detail": "too long a serial"}) + "\n")
            continue
        # Better revoked without a reason than not revoked.
        known = request["reason"] in _REASONS
        found[request["reason"] if known else "unspecified"].append(request)
    return found


def _answers(
    known: Mapping[str, Mapping[str, Any]], ended: Ended
) -> Iterator[dict[str, Any]]:
    """Say of each what the log says; of what it does not name only what is certain."""
    log = f"{ended.out}\n{ended.err}"
    already = set(_ALREADY.findall(log))
    failed = dict(_FAILED.findall(log))
    count = _COUNT.search(log)
    all_named = ended.code == 0 or (
        count is not None and int(count[1]) == len(already) + len(failed)
    )
    for serial, request in known.items():
        said: dict[str, Any] = {"id": request["id"]}
        if serial in already:
            yield said | {"answer": AnswerKind.ALREADY}
        elif serial in failed:
            unknown = "not found" in failed[serial]
            kind = AnswerKind.UNKNOWN if unknown else AnswerKind.RETRY
            yield said | {"answer": kind, "detail": failed[serial]}
        elif all_named:
            yield said | {"answer": AnswerKind.DONE}
        else:
            # Nothing is known: it is in doubt.
            detail = str(ended.trouble("admin"))
            yield said | {"answer": AnswerKind.RETRY, "detail": detail}


def _spelled(request: Mapping[str, Any]) -> str:
    return str(request["serial"]).rjust(_DIGITS, "0")


if __name__ == "__main__":
    main()
