"""
Measure how mail that comes back is read: `python benchmarks/bounces.py`.

Prints a table for each form of the corpus; `--write` puts it into docs/reliability.md,
`--wrong` lists what was read otherwise than it is meant.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import Header
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from models.terms import MailKind  # noqa: E402 - found from here
from tocsin.mail.incoming import Incoming, understand  # noqa: E402

CORPUS = ROOT / "tests" / "corpus"
REPORT = ROOT / "docs" / "reliability.md"
MARKS = re.compile(r"(<!-- bounces -->\n).*(<!-- /bounces -->)", re.DOTALL)

NOT_FOR_FORMS = {"answers"}
DOMAIN = "clinic.example"
ADDRESS = f"chan.tai.man@{DOMAIN}"
MESSAGE_ID = "<f250a3daa6f60f710b569f68@ca.example>"
HEADERS = f"""\
Received: from engine.ca.example (localhost [127.0.0.1])
	by mail.ca.example with ESMTP id 9B7D1A0B3C
	for <{ADDRESS}>; Mon,  2 Mar 2026 12:03:09 +0000 (UTC)
From: Example CA <certificates@ca.example>
To: Chan Tai Man <{ADDRESS}>
Subject: Your certificates will be revoked on Saturday 7 March 2026, 11:00 HKT
Date: Mon, 02 Mar 2026 12:00:00 +0000
Message-ID: {MESSAGE_ID}
Auto-Submitted: auto-generated
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8"""
BODY = """\
Dear Chan Tai Man,

2 TLS certificates of Harbour Clinics will be REVOKED, beginning on

  Saturday 7 March 2026, 11:00 HKT

The rule knows no extension. Name the right person if you are no longer the contact.
https://portal.ca.example/s/WyJ0ZXN0Il0.bm90IGEgcmVhbCBzaWduYXR1cmUgYXQgYWxs"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """
    One message of the corpus.

    Args:
        form: The file it stands in.
        name: What it is, in words.
        content: Its bytes; nothing in it is our return path.
        kind: How it is to be read.
        is_permanent: How a failure is to be classed; None for all others.

    """

    form: str
    name: str
    content: bytes
    kind: MailKind
    is_permanent: bool | None


@dataclass(slots=True, kw_only=True)
class Row:
    """
    How one form was read.

    Args:
        form: Which.
        failures: Messages that are failures.
        found: Of those, taken for failures.
        attributed: Of all failures, the notice or its address was found.
        classed: Of those attributed, with the right class.
        others: Messages that are no failures.
        alarms: Of those, taken for failures.
        told_apart: Of those, taken for what they are.

    """

    form: str
    failures: int = 0
    found: int = 0
    attributed: int = 0
    classed: int = 0
    others: int = 0
    alarms: int = 0
    told_apart: int = 0

    def add(self, sample: Sample, read: Incoming) -> None:
        """Count one message."""
        if sample.kind is not MailKind.FAILURE:
            self.others += 1
            self.alarms += read.bounce is not None
            self.told_apart += read.kind is sample.kind
            return
        self.failures += 1
        if read.bounce is None:
            return
        self.found += 1
        if is_attributed(read):
            self.attributed += 1
            self.classed += read.bounce.is_permanent is sample.is_permanent

    def plus(self, other: "Row") -> None:
        """Add another row's counts."""
        for name in self.__slots__:
            if name != "form":
                setattr(self, name, getattr(self, name) + getattr(other, name))


def is_attributed(read: Incoming) -> bool:
    """Whether the notice, or else the address it went to, is named first."""
    if read.bounce is None:
        return False
    if MESSAGE_ID in read.bounce.message_ids:
        return True
    return read.bounce.recipients[:1] == (ADDRESS,)


def read_corpus() -> Iterator[Sample]:
    """Yield every message of the corpus."""
    answers = list(_answers())
    for file in sorted(CORPUS.glob("*.txt")):
        if file.stem in NOT_FOR_FORMS:
            continue
        text = file.read_text("utf-8")
        for part in re.split(r"(?m)^=== ", text)[1:]:
            heading, _, source = part.partition("\n")
            name, _, word = heading.rpartition(": ")
            form = file.stem.replace("_", " ")
            if name.startswith("each "):
                for is_permanent, status, said in answers:
                    yield Sample(
                        form=form,
                        name=f"{name} {said}",
                        content=_content(source, status=status, said=said),
                        kind=MailKind.FAILURE,
                        is_permanent=is_permanent,
                    )
                continue
            is_failure = word in {"permanent", "temporary"}
            yield Sample(
                form=form,
                name=name,
                content=_content(source),
                kind=MailKind.FAILURE if is_failure else MailKind(word),
                is_permanent=word == "permanent" if is_failure else None,
            )


def measure() -> list[Row]:
    """Read the corpus; return a row for each form, and the sum."""
    rows: dict[str, Row] = {}
    for sample in read_corpus():
        row = rows.setdefault(sample.form, Row(form=sample.form))
        row.add(sample, understand(sample.content))
    total = Row(form="all")
    for row in rows.values():
        total.plus(row)
    return [*rows.values(), total]


def as_table(rows: list[Row]) -> str:
    """Return the table for docs/reliability.md."""
    lines = [
        (
            "| Form | Failures | Found | Attributed without VERP | Class right "
            "| Other mail | False alarms | Told apart |"
        ),
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        name = f"**{row.form}**" if row.form == "all" else row.form
        lines.append(
            f"| {name} | {row.failures} | {_share(row.found, row.failures)} "
            f"| {_share(row.attributed, row.failures)} "
            f"| {_share(row.classed, row.attributed)} | {row.others} "
            f"| {row.alarms if row.others else ''} "
            f"| {_share(row.told_apart, row.others)} |"
        )
    return "\n".join(lines) + "\n"


def wrong() -> Iterator[str]:
    """Yield what was read otherwise than it is meant, in words."""
    for sample in read_corpus():
        read = understand(sample.content)
        told = read.kind.value
        if read.bounce is not None:
            told += f", {'permanent' if read.bounce.is_permanent else 'temporary'}"
            told += f", {read.bounce.reason}, {read.bounce.status}"
            told += "" if is_attributed(read) else ", NOT ATTRIBUTED"
        is_right = read.kind is sample.kind and (
            read.bounce is None
            or (read.bounce.is_permanent is sample.is_permanent and is_attributed(read))
        )
        if not is_right:
            yield f"{sample.form}, {sample.name}: {told}"


def _answers() -> Iterator[tuple[bool, str, str]]:
    for line in (CORPUS / "answers.txt").read_text("utf-8").splitlines():
        if line and not line.startswith("#"):
            word, status, said = line.split("|", 2)
            yield word == "permanent", status, said


def _content(source: str, *, status: str = "", said: str = "") -> bytes:
    """Fill a message in."""
    values = {
        "address": ADDRESS,
        "local": ADDRESS.partition("@")[0],
        "domain": DOMAIN,
        "message_id": MESSAGE_ID,
        "headers": HEADERS,
        "body": BODY,
        "status": status,
    }
    values["said"] = Template(said).safe_substitute(values)
    return _encoded(Template(source).safe_substitute(values))


def _encoded(text: str) -> bytes:
    """Encode a message as it says of itself; headers as RFC 2047 asks."""
    charset = re.search(r"charset=\"?(gb2312|gb18030|big5)", text)
    head, _, body = text.partition("\n\n")
    head = "\n".join(
        line if line.isascii() else Header(line, "utf-8").encode()
        for line in head.split("\n")
    )
    return f"{head}\n\n{body}".replace("\n", "\r\n").encode(
        charset[1] if charset else "utf-8"
    )


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else ""


def main() -> None:
    """Print the table, or put it where it belongs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="into the report")
    parser.add_argument("--wrong", action="store_true", help="list what is wrong")
    arguments = parser.parse_args()
    if arguments.wrong:
        print("\n".join(wrong()))
        return
    table = as_table(measure())
    print(table, end="")
    if arguments.write:
        text = REPORT.read_text("utf-8")
        REPORT.write_text(MARKS.sub(lambda m: m[1] + table + m[2], text), "utf-8")


if __name__ == "__main__":
    main()
