"""Subscribers who read their mail and answer over HTTP; without it nobody would use what we send."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tocsin.demo import record
from tocsin.demo.people import Answer, Deed
from tocsin.demo.population import Organisation
from tocsin.demo.webpage import Form, Page, parse_page
from tocsin.errors import Broken

_PAGES: Mapping[Deed, str] = {
    Deed.ACKNOWLEDGE: "acknowledge",
    Deed.HAND_IN: "csr",
    Deed.REPLACED: "replaced",
    Deed.NOT_REQUIRED: "no-longer-required",
}
"""The last part of the link that leads from the overview to each deed."""

Fields = Sequence[tuple[str, str]]


class Mailbox(Protocol):
    """Where a person's mail lies."""

    def latest_link(self, address: str) -> str | None:
        """Return the link in the newest notice to an address; None without a notice."""
        ...


class Outcome(StrEnum):
    """What came of an answer."""

    DONE = "done"
    TOO_LATE = "too-late"  # the incident is over: the certificates are revoked


class Journal:
    """
    What the subscribers have done, so that a killed replay repeats nothing.

    An answer is noted with the very form that is about to be sent: sent again, it is
    the same reply, since its nonce is the same (I4).

    Args:
        path: JSON lines, appended to.

    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ended: dict[str, Outcome] = {}
        self._sending: dict[str, tuple[str, Fields]] = {}
        if path.exists():
            text = path.read_text("utf-8")
            for line in text.splitlines():
                self._take(line)
            if text and not text.endswith("\n"):
                # What a killed process left of a line must not swallow the next one.
                with path.open("a", encoding="utf-8") as file:
                    file.write("\n")

    def has_ended(self, answer: Answer) -> bool:
        """Whether nothing is left to do for an answer."""
        return answer.key in self._ended

    def half_sent(self, answer: Answer) -> tuple[str, Fields] | None:
        """Return address and fields of a form that may or may not have been sent."""
        return self._sending.get(answer.key)

    def count(self, outcome: Outcome) -> int:
        """Count the answers that ended so."""
        return sum(one is outcome for one in self._ended.values())

    def note_sending(self, answer: Answer, url: str, fields: Fields) -> None:
        """Note a form just before it is sent."""
        self._write({"key": answer.key, "url": url, "fields": list(fields)})
        self._sending[answer.key] = (url, fields)

    def note_end(self, answer: Answer, outcome: Outcome) -> None:
        """Note what came of an answer."""
        self._write({"key": answer.key, "outcome": outcome})
        self._ended[answer.key] = outcome

    def _write(self, line: Mapping[str, object]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _take(self, line: str) -> None:
        try:
            noted = json.loads(line)
        except json.JSONDecodeError:
            return  # the last line of a killed process: what it announced was not begun
        if "outcome" in noted:
            self._ended[noted["key"]] = Outcome(noted["outcome"])
        else:
            fields = [(name, value) for name, value in noted["fields"]]
            self._sending[noted["key"]] = (noted["url"], fields)


class Crowd:
    """
    The simulated subscribers.

    Args:
        organisations: Who they are.
        answers: What they will do, in the order of time.
        mailbox: Their mail.
        journal: What they have done.
        client: Their browser; follows redirects.

    """

    def __init__(
        self,
        organisations: Sequence[Organisation],
        answers: Sequence[Answer],
        *,
        mailbox: Mailbox,
        journal: Journal,
        client: httpx.Client,
    ) -> None:
        self._organisations = {one.number: one for one in organisations}
        self._open = [one for one in answers if not journal.has_ended(one)]
        self._mailbox = mailbox
        self._journal = journal
        self._client = client

    def next_at(self, after: datetime) -> datetime | None:
        """Return the next instant at which somebody wants to answer."""
        return min((one.at for one in self._open if one.at > after), default=None)

    def act(self, now: datetime) -> None:
        """
        Let everybody answer who wants to by now and has a notice.

        Who has none yet, since mail to a colleague came back first, tries again at the
        next instant.
        """
        due = [one for one in self._open if one.at <= now]
        ended = [answer for answer in due if self._answer(answer, now)]
        self._open = [one for one in self._open if one not in ended]

    def _answer(self, answer: Answer, now: datetime) -> bool:
        organisation = self._organisations[answer.organisation]
        half_sent = self._journal.half_sent(answer)
        if half_sent is not None:
            url, fields = half_sent
            self._note(answer, self._send(url, fields))
            return True
        link = next(
            filter(
                None,
                (
                    self._mailbox.latest_link(person.email)
                    for person in organisation.contacts
                    if not person.has_left
                ),
            ),
            None,
        )
        if link is None:
            return False
        base = urlsplit(link).path
        overview = self._open_page(link)
        wanted = f"{base}/{_PAGES[answer.deed]}"
        if not any(urlsplit(one).path == wanted for one in overview.links):
            if now < record.DEADLINE:
                raise Broken(f"no way to {answer.deed} on the page {overview.title!r}")
            self._journal.note_end(answer, Outcome.TOO_LATE)
            return True
        form = _form(self._open_page(urljoin(link, wanted)), f"{wanted}/check")
        checked = self._post(
            urljoin(link, form.action), _FILLED[answer.deed](form, organisation)
        )
        repeated = _form(checked, wanted)
        if "nonce" not in repeated.names("hidden"):
            raise Broken(f"the portal did not take a {answer.deed}: {checked.title}")
        url = urljoin(link, repeated.action)
        fields = repeated.untouched()
        self._journal.note_sending(answer, url, fields)
        self._note(answer, self._send(url, fields))
        return True

    def _note(self, answer: Answer, response: httpx.Response) -> None:
        if "/done/" not in response.url.path:
            title = parse_page(response.text).title
            raise Broken(f"the portal did not file a {answer.deed}: {title}")
        self._journal.note_end(answer, Outcome.DONE)

    def _send(self, url: str, fields: Fields) -> httpx.Response:
        return self._client.post(
            url,
            # A browser sends the form's own encoding; ours are all text by now.
            files=[(name, (None, value.encode("utf-8"))) for name, value in fields],
        )

    def _post(self, url: str, fields: Fields) -> Page:
        return parse_page(self._send(url, fields).raise_for_status().text)

    def _open_page(self, url: str) -> Page:
        return parse_page(self._client.get(url).raise_for_status().text)


def _form(page: Page, path: str) -> Form:
    """Find the form that sends to a path."""
    for form in page.forms:
        if form.method == "post" and urlsplit(form.action).path == path:
            return form
    raise Broken(f"no form for {path.rpartition('/')[2]} on the page {page.title!r}")


def _filled_acknowledge(form: Form, _: Organisation) -> Fields:
    """Say that the mail reached the right person."""
    choice = form.values("choice")[0]
    return [*_without(form, "choice"), ("choice", choice)]


def _filled_csrs(form: Form, organisation: Organisation) -> Fields:
    """Paste a CSR for each certificate, each with a key of its own."""
    return [*_without(form, "csr"), ("csr", make_csrs(organisation))]


def _filled_certificates(form: Form, _: Organisation) -> Fields:
    """Tick every certificate."""
    ticked = [("certificate", key) for key in form.values("certificate")]
    return [*_without(form, "certificate"), *ticked]


def _without(form: Form, name: str) -> Fields:
    return [field for field in form.untouched() if field[0] != name]


_FILLED: Mapping[Deed, Callable[[Form, Organisation], Fields]] = {
    Deed.ACKNOWLEDGE: _filled_acknowledge,
    Deed.HAND_IN: _filled_csrs,
    Deed.REPLACED: _filled_certificates,
    Deed.NOT_REQUIRED: _filled_certificates,
}


def make_csrs(organisation: Organisation) -> str:
    """Make a CSR with a new P-256 key for each certificate, PEM one after the other."""
    pems = []
    for hosts in organisation.hosts:
        key = ec.generate_private_key(ec.SECP256R1())
        csr = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(
                x509.Name(
                    [
                        x509.NameAttribute(
                            x509.NameOID.ORGANIZATION_NAME, organisation.name
                        ),
                        x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0]),
                    ]
                )
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]),
                critical=False,
            )
            .sign(key, hashes.SHA256())
        )
        pems.append(csr.public_bytes(serialization.Encoding.PEM).decode("ascii"))
    return "".join(pems)
