"""Boulder's `admin` tool as its source says: cmd/admin/main.go and cert.go."""

# ruff: noqa: T201 - it speaks on stdout

import sys
from itertools import pairwise
from pathlib import Path

REASONS = (
    "unspecified",
    "keyCompromise",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
)


def main() -> None:
    arguments = sys.argv[1:]
    given = dict(pairwise(arguments))
    dry = "-dry-run=false" not in arguments
    store = Path(given["-config"])  # serials that exist, and what was done to them
    if given["-reason"] not in REASONS:
        sys.exit("executing subcommand: looking up revocation reason")
    serials = (
        Path(given["-serials-file"]).read_text().split()
        if "-serials-file" in given
        else [given["-serial"]]
    )
    if any(len(serial) not in (32, 36) for serial in serials):
        sys.exit('executing subcommand: cleaned serial "..." is not valid')
    if dry:
        print("Dry run complete. Pass -dry-run=false to mutate the database.")
        return
    known = dict(line.split() for line in store.read_text().splitlines())
    errors = 0
    for serial in serials:
        state = known.get(serial)
        if state == "silent":
            errors += 1
        elif state is None:
            errors += 1
            print(f'failed to revoke "{serial}": rpc error: certificate not found')
        elif state != "valid":
            errors += 1
            print(f'not revoking "{serial}": already revoked')
        else:
            known[serial] = given["-reason"]
    store.write_text("".join(f"{serial} {state}\n" for serial, state in known.items()))
    if errors:
        sys.exit(
            f"executing subcommand: revoking serials: encountered {errors} errors while "
            "revoking certs; see logs above for details"
        )


if __name__ == "__main__":
    main()
