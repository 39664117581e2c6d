"""Commands for the CA that the settings name: which kinds there are, and what this one can do."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from secrets import randbits
from typing import Annotated

import typer
from cryptography.x509 import ocsp
from rich.console import Console
from rich.table import Table

from models.terms import CertificateId, Reason
from tocsin.ca.backend import Capabilities, Probing, RevocationRequest
from tocsin.ca.factory import EMBEDDED, OpenedCa, backend_names, find_backend, open_ca
from tocsin.ca.proof import prove
from tocsin.cli.doctor import Finding, State, print_findings
from tocsin.clock import Clock, SystemClock
from tocsin.errors import TocsinError, Unavailable
from tocsin.policy.progress import spell_duration
from tocsin.policy.rules import RulePack
from tocsin.settings import read_settings
from tocsin.steps.launch import read_rulebook

app = typer.Typer(
    help="The CA that certificates are revoked at: see before the day what it can do.",
    no_args_is_help=True,
)

_FEWEST_PROBES = 3


@app.command("list")
def list_backends() -> None:
    """List the kinds of CA that TOCSIN_CA_BACKEND can name."""
    table = Table("Name", "What", "Tried against")
    table.add_row(EMBEDDED, "the CA that comes with Tocsin", "itself")
    for name in backend_names():
        if name == EMBEDDED:
            continue
        try:
            kind = find_backend(name)
        except TocsinError as error:
            table.add_row(name, str(error), "")
        else:
            table.add_row(name, kind.title, kind.tried)
    Console().print(table)


@app.command("check")
def check(
    *,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe",
            help="Also measure the rate by calls that revoke nothing.",
        ),
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="For how long the rate is measured.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Say what the configured CA can and cannot do; exit code 1 if something is amiss."""
    settings, clock = read_settings(), SystemClock()
    ca = open_ca(settings, clock=clock)
    findings = list(
        examine(
            ca,
            pack=read_rulebook(settings).pack,
            clock=clock,
            probe_within=seconds if probe else None,
        )
    )
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print_findings(findings)
    if any(finding.state is State.MISSING for finding in findings):
        raise typer.Exit(1)


def examine(
    ca: OpenedCa, *, pack: RulePack, clock: Clock, probe_within: float | None
) -> Iterator[Finding]:
    """
    Look at what a CA can do and whether it answers, changing nothing there.

    Args:
        ca: The CA.
        pack: Whose circumstances need which reasons.
        clock: Tells now.
        probe_within: Also measure the rate, for so many seconds.

    """
    able = ca.backend.capabilities
    yield _plan(able)
    yield _reasons(able, pack)
    yield from _repeating(able)
    issuers = ca.list_issuers()
    if not issuers:
        yield _found("issuers", State.MISSING, "none", "configure one")
    for key, name in issuers.items():
        yield _answering(ca, key, name)
        yield _publication(ca, key, name, clock)
        yield from _remarks(ca, key, name)
        if probe_within is not None:
            yield _probe(ca, key, name, within=probe_within)


def _plan(able: Capabilities) -> Finding:
    limits = "; ".join(
        f"at most {limit.calls:,} calls in {limit.seconds:g} s" for limit in able.limits
    )
    return _found(
        "plan",
        State.OK,
        f"{able.name}: {able.rate_per_second:,.6g} revocations a second, {able.at_once} "
        f"at once, published within {spell_duration(able.publication_delay)}"
        + (f"; {limits}" if limits else ""),
    )


def _reasons(able: Capabilities, pack: RulePack) -> Finding:
    lost = [rule for rule in pack.rules if rule.reason not in able.keeps_reasons]
    if not lost:
        return _found("reasons", State.OK, "all that the rules need reach the CRL")
    labels = ", ".join(dict.fromkeys(rule.reason.label for rule in lost))
    circumstances = ", ".join(rule.circumstance for rule in lost)
    detail = f"dropped: {labels}; needed for {circumstances}"
    if able.reasons_may_be_lost:
        return _found("reasons", State.NOTE, detail, "accepted: reasons_may_be_lost")
    return _found(
        "reasons",
        State.MISSING,
        detail,
        "such an incident is not launched: use another way into this CA, or accept it "
        "with reasons_may_be_lost = true (TLS BR 7.2.2)",
    )


def _repeating(able: Capabilities) -> Iterator[Finding]:
    if able.safe_to_repeat:
        yield _found("repeating", State.OK, "changes neither reason nor time")
    elif able.tells_status:
        yield _found("repeating", State.OK, "not safe: looked up first, each time")
    else:
        yield _found(
            "repeating",
            State.NOTE,
            "not known to be safe, and the CA tells no status: its CRL is looked at "
            "first",
            "what was revoked and is not published yet may be asked for twice",
        )
    if not able.checks_unknown:
        yield _found(
            "unknown serials",
            State.NOTE,
            "not noticed by this CA",
            "check the list well: a wrong serial is revoked without a word",
        )
    if able.needs_certificate:
        yield _found(
            "certificates",
            State.NOTE,
            "this CA is given the certificate itself",
            "import certificates where you can, not serials alone",
        )


def _answering(ca: OpenedCa, key: str, name: str) -> Finding:
    request = RevocationRequest(
        certificate_id=CertificateId(0),
        issuer_key=key,
        serial=randbits(158),
        reason=Reason.SUPERSEDED,
    )
    try:
        (status,) = ca.backend.look_up([request])
    except Unavailable as error:
        return _found("answers", State.MISSING, f"{name}: {error}")
    if not ca.backend.capabilities.tells_status:
        return _found(
            "answers", State.NOTE, f"{name}: not asked, since it tells no status"
        )
    return _found("answers", State.OK, f"{name}: a random serial is {status.kind}")


def _publication(ca: OpenedCa, key: str, name: str, clock: Clock) -> Finding:
    try:
        proof = prove(ca.publication, issuer_key=key, wanted=[], now=clock.now())
        if ca.publication.has_ocsp(key):
            (answer,) = ca.publication.ask_ocsp(key, [randbits(158)])
            status = ocsp.load_der_ocsp_response(answer).response_status
            responder = f"OCSP answers {status.name.lower()}"
        else:
            responder = "no OCSP: the CRL alone is the proof"
    except (Unavailable, ValueError) as error:
        return _found("publication", State.MISSING, f"{name}: {error}")
    age = spell_duration(clock.now() - proof.crl_this_update)
    return _found(
        "publication",
        State.OK,
        f"{name}: CRL of {age} ago lists {proof.crl_entries:,}; {responder}",
    )


def _remarks(ca: OpenedCa, key: str, name: str) -> Iterator[Finding]:
    if not isinstance(ca.backend, Probing):
        return
    try:
        for remark in ca.backend.remarks(key):
            yield _found("set-up", State.NOTE, f"{name}: {remark}")
    except Unavailable as error:
        yield _found("set-up", State.MISSING, f"{name}: {error}")


def _probe(ca: OpenedCa, key: str, name: str, *, within: float) -> Finding:
    if not isinstance(ca.backend, Probing):
        return _found("probe", State.NOTE, f"{name}: this backend has none")
    started = time.monotonic()
    count = 0
    said = ""
    try:
        while count < _FEWEST_PROBES or time.monotonic() - started < within:
            said = ca.backend.probe(key)
            count += 1
    except Unavailable as error:
        return _found("probe", State.MISSING, f"{name}: {error}")
    rate = count / (time.monotonic() - started)
    planned = ca.backend.capabilities.rate_per_second
    detail = f"{name}: {said}; {rate:,.3g} calls a second, one after the other"
    if rate < planned:
        return _found(
            "probe",
            State.NOTE,
            detail,
            f"the plan counts on {planned:,.6g}: lower rate_per_second if several at "
            "once do not make up for it",
        )
    return _found("probe", State.OK, detail)


def _found(name: str, state: State, detail: str, advice: str = "") -> Finding:
    return Finding(name=name, state=state, detail=detail, advice=advice)
