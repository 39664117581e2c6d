"""One incident of a given size: `make` issues its certificates, `run` lives through it."""

import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.launching import launch_listed

from models.terms import Circumstance
from tocsin.ca.issuers import create_issuer, find_issuer, signing_key
from tocsin.clock import SteppedClock
from tocsin.log import configure_logging
from tocsin.settings import Settings
from tocsin.steps.advance import advance, next_due_at
from tocsin.steps.collaborators import open_collaborators
from tocsin.store.figures import incident_figures
from tocsin.store.session import reading

AWARE = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LAUNCH = AWARE + timedelta(hours=12)
PER_SUBSCRIBER = 5
SMTP_PORT = 8799


def make(owners: Sequence[int], folder: Path) -> None:
    """
    Issue certificates, and write the directory.

    Args:
        owners: The number of each certificate's subscriber.
        folder: Where the CA, the list and the directory go.

    """
    issuer_key = create_issuer(folder / "ca", name="Benchmark CA", now=AWARE)
    issuer = find_issuer(folder / "ca", issuer_key)
    if issuer is None:
        raise SystemExit("the CA lost its issuer")
    key = signing_key(folder / "ca", issuer_key)
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    with (folder / "list.pem").open("wb") as bundle:
        for number, owner in enumerate(owners):
            host = f"host-{number}.org-{owner}.example"
            name = x509.Name(
                [
                    x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, f"Org {owner}"),
                    x509.NameAttribute(x509.NameOID.COMMON_NAME, host),
                ]
            )
            certificate = (
                x509.CertificateBuilder()
                .subject_name(name)
                .issuer_name(issuer.certificate.subject)
                .public_key(public)
                .serial_number((number + 1) << 64 | 0x5EED)
                .not_valid_before(AWARE - timedelta(days=100))
                .not_valid_after(AWARE + timedelta(days=200))
                .add_extension(
                    x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False
                )
                .sign(key, hashes.SHA256())
            )
            bundle.write(certificate.public_bytes(serialization.Encoding.PEM))
    with (folder / "directory.csv").open("w", encoding="utf-8") as directory:
        directory.write("subscriber,sector,zone,domains,name,email,phone,rank,role\n")
        for owner in sorted(set(owners)):
            directory.write(
                f"Org {owner},Sector,Asia/Hong_Kong,org-{owner}.example,Person {owner},"
                f"admin@org-{owner}.example,,1,\n"
            )
        for role in ("account-manager", "operations-manager", "compliance-lead"):
            directory.write(f",,,,{role},{role}@ca.example,,,{role}\n")


def run(folder: Path) -> dict[str, object]:
    """Draft, launch and live through it until everything is proven."""
    started = time.perf_counter()
    clock = SteppedClock(LAUNCH)
    settings = Settings(
        data_directory=folder, smtp_host="127.0.0.1", smtp_port=SMTP_PORT
    )
    with open_collaborators(settings, clock=clock, owner="benchmark") as c:
        incident = launch_listed(
            c, settings, circumstance=Circumstance.MISISSUED, made_aware_at=AWARE
        )
        while True:
            done = advance(c)
            if done.problems:
                raise SystemExit(f"failed: {done.problems}")
            following = next_due_at(c.engine)
            if following is None:
                break
            clock.step_to(max(following, clock.now() + timedelta(seconds=1)))
        with reading(c.engine) as connection:
            figures = incident_figures(connection, incident=incident, now=clock.now())
    return {
        "published_before_deadline": figures.published_before_deadline,
        "notices_sent": figures.notices_sent,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": time.perf_counter() - started,
    }


def main() -> None:
    """Make or run."""
    configure_logging()
    part, count, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    if part == "make":
        make([number // PER_SUBSCRIBER for number in range(count)], folder)
        return
    sink = shutil.which("smtp-sink") or "/usr/sbin/smtp-sink"
    relay = subprocess.Popen([sink, "-u", "root", f"127.0.0.1:{SMTP_PORT}", "100"])
    try:
        print(json.dumps(run(folder)))
    finally:
        relay.terminate()
        relay.wait()


if __name__ == "__main__":
    main()
