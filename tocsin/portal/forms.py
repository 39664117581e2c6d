"""From what a form sent to an act, or to the problems that its sender can mend."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import structlog
from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile

from models.terms import CertificateId
from tocsin.intake.csr.checks import CsrCheck
from tocsin.intake.csr.findings import Finding, FindingCode
from tocsin.intake.csr.uploads import read_upload
from tocsin.phrases import Phrase, phrase
from tocsin.portal.desk import Desk, Visit
from tocsin.steps.csrs import preview_csrs
from tocsin.steps.reply_acts import (
    Acknowledge,
    AcknowledgeChoice,
    CsrFor,
    ReplyAct,
    ReportNoLongerRequired,
    ReportReplaced,
    SubmitCsrs,
)
from tocsin.store.views import (
    CertificateView,
    Filter,
    Selection,
    Standing,
)

log = structlog.get_logger()

_MOST_FIELDS = 2_000
_MOST_FILES = 500
LONGEST_NAME = 200
_PASTED = "\x00pasted "  # no file has such a name


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What a browser sent."""

    fields: Mapping[str, Sequence[str]]
    files: Sequence[tuple[str, bytes]]

    def one(self, name: str) -> str:
        """Return a field's first value, without blanks around it."""
        values = self.fields.get(name, ())
        return values[0].strip() if values else ""

    def every(self, name: str) -> Sequence[str]:
        """Return all values of a field."""
        return self.fields.get(name, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """
    What the sender can mend.

    Args:
        field: The id of the field on the page.
        message: What to do; a phrase on pages that are read in several languages.

    """

    field: str
    message: str | Phrase


CHANGED_MEANWHILE = Problem(
    field="check",
    message=phrase(
        "This page had been open for long, or something changed meanwhile. Look at it"
        " again, then press the button."
    ),
)
"""A check page that does not count any more is shown again, as things stand now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCsr:
    """
    One CSR as the check page shows it.

    Args:
        file: Where it came from: its name, or that it was pasted.
        check: What was found.
        certificates: Which it is for.

    """

    file: str | Phrase
    check: CsrCheck
    certificates: tuple[CertificateView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """
    What a form came to.

    Args:
        act: What would be done; None where something must be mended first.
        problems: What.
        values: What was entered, to show it again.
        shown: What the check page shows.
        carried: Hidden fields with which the check page sends it again.
        refused: Codes of what is wrong with CSRs of which none can be used.

    """

    act: ReplyAct | None = None
    problems: tuple[Problem, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)
    shown: Mapping[str, object] = field(default_factory=dict)
    carried: Sequence[tuple[str, str]] = ()
    refused: tuple[str, ...] = ()


Parser = Callable[[Desk, Visit, Submitted], Parsed]


async def read_submitted(request: Request) -> Submitted:
    """Read a subscriber's form, within its limits."""
    desk = cast("Desk", request.app.state.desk)
    return await read_form(request, most_bytes=desk.config.max_upload_bytes)


async def read_form(request: Request, *, most_bytes: int) -> Submitted:
    """Read a form, within its limits."""
    fields: dict[str, list[str]] = {}
    files: list[tuple[str, bytes]] = []
    async with request.form(
        max_files=_MOST_FILES,
        max_fields=_MOST_FIELDS,
        max_part_size=most_bytes,
    ) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                data = await value.read()
                if data or value.filename:
                    files.append((value.filename or "file", data))
            else:
                # No text of ours has a NUL in it, and PostgreSQL takes none.
                fields.setdefault(name, []).append(value.replace("\0", ""))
    size = sum(len(data) for _, data in files)
    if size > most_bytes:
        raise HTTPException(413)
    return Submitted(fields=fields, files=files)


def read_filter(one: Callable[[str], str]) -> Filter:
    """
    Read which certificates somebody wants to see; what makes no sense is left out.

    Args:
        one: Returns the value of a field; empty where there is none.

    """
    state = one("state")
    find = "".join(c for c in one("find") if c.isprintable())
    return Filter(
        find=find.strip()[:LONGEST_NAME],
        standing=Standing(state) if state in set(Standing) else Standing.ANY,
    )


def filter_of_form(form: Submitted) -> Filter:
    """Read which certificates a form is about: those it showed, or those now wanted."""
    if form.one("show"):
        return read_filter(form.one)
    return read_filter(lambda name: form.one(f"shown_{name}"))


def carried_filter(wanted: Filter) -> list[tuple[str, str]]:
    """Return the fields with which a check page says what was shown."""
    return [
        (f"shown_{name}", value)
        for name, value in (("find", wanted.find), ("state", wanted.standing.value))
        if value
    ]


def parse_acknowledge(_desk: Desk, _visit: Visit, form: Submitted) -> Parsed:
    """Read who will act."""
    given = form.one("choice")
    values = {"choice": given}
    try:
        choice = AcknowledgeChoice(given)
    except ValueError:
        return Parsed(
            problems=(Problem(field="choice", message=phrase("Say who will act.")),),
            values=values,
        )
    return Parsed(
        act=Acknowledge(choice=choice), values=values, carried=[("choice", given)]
    )


def parse_replaced(desk: Desk, visit: Visit, form: Submitted) -> Parsed:
    """Read which certificates were replaced."""
    return _parse_certificates(
        desk, visit, form, lambda keys: ReportReplaced(certificates=keys)
    )


def parse_no_longer_required(desk: Desk, visit: Visit, form: Submitted) -> Parsed:
    """Read which certificates are no longer required."""
    return _parse_certificates(
        desk, visit, form, lambda keys: ReportNoLongerRequired(certificates=keys)
    )


def _parse_certificates(
    desk: Desk,
    visit: Visit,
    form: Submitted,
    act: Callable[[tuple[CertificateId, ...]], ReplyAct],
) -> Parsed:
    takes_all = form.one("all") == "1"
    pending = visit.view.pending
    keys = read_keys(form.every("certificate"))
    if takes_all:
        keys = frozenset(desk.every(visit, Selection.REVOCABLE_EARLY)) - set(pending)
    values = {
        "certificate": keys if not takes_all else frozenset(),
        "all": takes_all,
        "look": form.one("look") == "1",
    }
    if not keys:
        return _certificate_problem(
            phrase("Tick the certificates that this is about."), values
        )
    certificates = desk.certificates(visit, sorted(keys))
    if len(certificates) != len(keys):
        return _certificate_problem(
            phrase("One of the certificates is not on this page. Tick them again."),
            values,
        )
    late = [
        certificate.title
        for certificate in certificates
        if not certificate.can_be_revoked_early or certificate.certificate in pending
    ]
    if late:
        return _certificate_problem(
            phrase(
                "%(name)s was revoked or reported meanwhile. Tick the others again.",
                name=late[0],
            ),
            values,
        )
    carried = [("certificate", str(key)) for key in sorted(keys)]
    return Parsed(
        act=act(tuple(sorted(keys))),
        values=values,
        shown={"certificates": certificates},
        carried=[("all", "1"), *carried_filter(visit.view.filter)]
        if takes_all
        else carried,
    )


def _certificate_problem(message: Phrase, values: Mapping[str, object]) -> Parsed:
    return Parsed(
        problems=(Problem(field="certificate", message=message),), values=values
    )


def read_keys(texts: Sequence[str]) -> frozenset[CertificateId]:
    """Read identifiers; what is none becomes one that nobody has."""
    return frozenset(
        CertificateId(int(text)) if is_key(text) else CertificateId(0) for text in texts
    )


def is_key(text: str) -> bool:
    """Whether a text can be the key of a row."""
    return text.isascii() and text.isdigit() and len(text) <= 18  # noqa: PLR2004 - BIGINT


def parse_csrs(desk: Desk, visit: Visit, form: Submitted) -> Parsed:
    """Read CSRs from files and text, and match them to certificates."""
    pasted = [text for text in form.every("csr") if text.strip()]
    uploads = [
        *form.files,
        *(
            (f"{_PASTED}{number if len(pasted) > 1 else ''}", text.encode())
            for number, text in enumerate(pasted, start=1)
        ),
    ]
    chosen = sorted(read_keys([form.one("for")])) if form.one("for") else []
    values: dict[str, object] = {"csr": "\n".join(pasted), "for": form.one("for")}
    if not uploads:
        problem = Problem(
            field="csr", message=phrase("Choose a file with a CSR, or paste one.")
        )
        return Parsed(problems=(problem,), values=values)
    if chosen and len(desk.certificates(visit, chosen)) != len(chosen):
        problem = Problem(
            field="for",
            message=phrase("Choose a certificate from the list, or leave it out."),
        )
        return Parsed(problems=(problem,), values=values | {"for": ""})
    read = [one for name, data in uploads for one in read_upload(data, name=name)]
    if any(one.has_private_key for one in read):
        # Nothing of it goes back into the page: the key would lie in caches.
        log.error(
            "A private key was uploaded; it was refused and not stored",
            incident=visit.claims.incident,
            contact=visit.claims.contact,
        )
        names = [one.name for one in read if one.has_private_key]
        return Parsed(
            problems=tuple(_key_problem(name) for name in names),
            values={"csr": "", "for": form.one("for"), "private_key": True},
        )
    origin = {csr: one.name for one in read for csr in one.csrs}
    checks = preview_csrs(
        desk.engine,
        claims=visit.claims,
        csrs=list(origin),
        chosen=chosen,
        blocklist=desk.config.key_blocklist,
    )
    checked = _checked(desk, visit, list(origin.values()), checks)
    useful = [one for one in checked if not one.check.is_refused]
    unread = [(_label(one.name), finding) for one in read for finding in one.findings]
    refused = [one for one in checked if one.check.is_refused]
    if chosen and len(useful) > 1:
        problem = Problem(
            field="for",
            message=phrase(
                "Hand in one CSR for a certificate, or let them be matched by name."
            ),
        )
        return Parsed(problems=(problem,), values=values)
    if not useful:
        return Parsed(
            problems=_csr_problems(unread, refused),
            values=values,
            shown={"refused": refused},
            refused=tuple(
                finding.code.value
                for finding in (
                    *(finding for _, finding in unread),
                    *(f for one in refused for f in one.check.findings if f.refuses),
                )
            ),
        )
    return Parsed(
        act=SubmitCsrs(
            csrs=tuple(
                CsrFor(pem=one.check.pem, certificates=one.check.matched)
                for one in useful
            )
        ),
        values=values,
        shown={"useful": useful, "refused": refused, "unread": unread},
        carried=[
            *(("csr", one.check.pem) for one in useful),
            ("for", form.one("for")),
        ],
    )


def _checked(
    desk: Desk, visit: Visit, files: Sequence[str], checks: Sequence[CsrCheck]
) -> list[CheckedCsr]:
    wanted = sorted({key for check in checks for key in check.matched})
    views = {view.certificate: view for view in desk.certificates(visit, wanted)}
    return [
        CheckedCsr(
            file=_label(file),
            check=check,
            certificates=tuple(views[key] for key in check.matched),
        )
        for file, check in zip(files, checks, strict=True)
    ]


def _csr_problems(
    unread: Sequence[tuple[str | Phrase, Finding]], refused: Sequence[CheckedCsr]
) -> tuple[Problem, ...]:
    found = [
        *unread,
        *(
            (one.file, finding)
            for one in refused
            for finding in one.check.findings
            if finding.refuses
        ),
    ]
    return tuple(
        Problem(
            field="for"
            if finding.code in (FindingCode.NAME_UNMATCHED, FindingCode.NAME_AMBIGUOUS)
            else "csr",
            message=phrase("In %(file)s: %(finding)s", file=name, finding=finding.said),
        )
        for name, finding in found
    )


def _key_problem(name: str) -> Problem:
    return Problem(
        field="csr",
        message=phrase(
            "There is a private key in %(file)s. We refused it and did not store it."
            " Consider this key compromised.",
            file=_label(name),
        ),
    )


def _label(name: str) -> str | Phrase:
    """Say where a CSR came from, within a sentence."""
    if name == _PASTED:
        return phrase("the text you pasted")
    if name.startswith(_PASTED):
        return phrase(
            "the text you pasted (%(number)s)", number=name.removeprefix(_PASTED)
        )
    return "".join(c if c.isprintable() else "?" for c in name)[:LONGEST_NAME]
