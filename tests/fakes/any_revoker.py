"""A process that revokes certificates through any backend and says what was answered."""

# ruff: noqa: T201 - it speaks on stdout

import sys
from pathlib import Path

from fakes.requests import request_for

from tocsin.ca.factory import find_backend
from tocsin.ca.options import read_options


def main() -> None:
    """Take the backend, its options, a folder of DER files, and the files' names."""
    name, options, folder, *serials = sys.argv[1:]
    kind = find_backend(name)
    given = read_options(Path(options), kind)
    backend, _ = kind.open(given)
    (key,) = given.issuers
    requests = [
        request_for(key, int(serial), certificate=(Path(folder) / serial).read_bytes())
        for serial in serials
    ]
    for answer in backend.revoke(requests):
        print(answer.kind, flush=True)


if __name__ == "__main__":
    main()
