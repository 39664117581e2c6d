"""A few bytes before and after each message: what a killed process could not tell any more."""

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import structlog

from models.terms import NoticeId
from tocsin.mail.messages import SendKind, SendOutcome

log = structlog.get_logger()

_SUFFIX = ".journal"
_MAGIC = "tocsin-sending-1"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_LONGEST_OWNER = 50


class SendingJournal:
    """
    The journal of one sending, a file of its own, locked while its process lives.

    No sync to disk: what is written outlives the process, if not the machine; after
    another start of the machine a journal is no longer trusted about what is missing
    in it.

    Args:
        folder: Where journals are, on a disk of this machine. Made when absent.
        owner: Who sends; a part is added that no other sending has.

    """

    def __init__(self, folder: Path, owner: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = secrets.token_hex(4)
        self.owner = f"{owner[:_LONGEST_OWNER]}/{name}"
        """Names this sending in leases."""
        self._path = folder / f"{name}{_SUFFIX}"
        # Under its name only once it is locked: nobody may take it for a dead one's.
        new = self._path.with_suffix(".new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(new, flags, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write(f"{_MAGIC} {_boot_id()} {self.owner}")
        new.rename(self._path)

    def claimed(self, notices: Sequence[NoticeId]) -> None:
        """Note which are ours now, before it is committed; nothing of them has left."""
        self._write("C " + " ".join(map(str, notices)))

    def tells_of(self, notice_id: NoticeId, escalations: Sequence[int]) -> None:
        """Note which escalations a message tells of."""
        self._write(f"T {notice_id} " + " ".join(map(str, escalations)))

    def started(self, notice_id: NoticeId) -> None:
        """Note that the content of a message leaves now."""
        os.write(self._file, b"S %d\n" % notice_id)

    def ended(self, outcome: SendOutcome) -> None:
        """Note what became of a message."""
        self._write(
            f"R {outcome.notice_id} {outcome.kind} {outcome.smtp_code or 0} "
            + " ".join(outcome.detail.split())
        )

    def close(self, *, is_settled: bool) -> None:
        """
        End the journal.

        Args:
            is_settled: All of it is in the database. If not, it is left for whoever
                sends next.

        """
        if is_settled:
            self._path.unlink()
        os.close(self._file)

    def _write(self, line: str) -> None:
        os.write(self._file, line.encode("utf-8") + b"\n")


@contextmanager
def open_journal(folder: Path | None, owner: str) -> Iterator[SendingJournal | None]:
    """
    Keep a journal while something is sent; None where there is no folder for it.

    It is left for whoever sends next when the sending ends with an error.
    """
    if folder is None:
        yield None
        return
    journal = SendingJournal(folder, owner)
    try:
        yield journal
    except BaseException:
        journal.close(is_settled=False)
        raise
    journal.close(is_settled=True)


@dataclass(slots=True, kw_only=True)
class DeadJournal:
    """
    What a sending left that ended without a word.

    Args:
        path: The file.
        owner: Who held the notices.
        is_complete: What is not in it did not happen.
        started: Their content may have left, and no answer came.
        ended: What became of others.
        escalations: What they told of.

    """

    path: Path
    owner: str = ""
    is_complete: bool = False
    started: set[NoticeId] = field(default_factory=set)
    ended: dict[NoticeId, SendOutcome] = field(default_factory=dict)
    escalations: dict[NoticeId, tuple[int, ...]] = field(default_factory=dict)


def dead_journals(folder: Path) -> Iterator[DeadJournal]:
    """
    Yield the journals whose process is dead, each to one reader only.

    A journal is removed when the caller comes back for the next one.
    """
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        with suppress(FileNotFoundError), path.open("rb") as file:
            if not _is_ours(file, path):
                continue
            yield _read(file, path)
            path.unlink()


def _is_ours(file: BinaryIO, path: Path) -> bool:
    """Lock it; False: its process lives, or somebody else was faster."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return path.exists()


def _read(file: BinaryIO, path: Path) -> DeadJournal:
    """Read what was written to the end; a line without an end was not."""
    journal = DeadJournal(path=path)
    head, *lines = file.read().decode("utf-8", "replace").split("\n")[:-1] or [""]
    magic, _, rest = head.partition(" ")
    boot_id, _, journal.owner = rest.partition(" ")
    if magic != _MAGIC:
        log.warning("A journal of sending cannot be read", journal=path.name)
        return journal
    journal.is_complete = bool(boot_id) and boot_id == _boot_id()
    for line in lines:
        try:
            _note(journal, line)
        except (ValueError, IndexError):
            # Torn by more than a kill, such as a full disk.
            journal.is_complete = False
    return journal


def _note(journal: DeadJournal, line: str) -> None:
    sign, _, rest = line.partition(" ")
    if sign == "C":
        for notice in rest.split():
            _forget(journal, NoticeId(int(notice)))
        return
    number, _, words = rest.partition(" ")
    notice_id = NoticeId(int(number))
    if sign == "S":
        journal.ended.pop(notice_id, None)
        journal.started.add(notice_id)
    elif sign == "R":
        kind, code, detail = words.split(" ", 2)
        journal.started.discard(notice_id)
        journal.ended[notice_id] = SendOutcome(
            notice_id=notice_id,
            kind=SendKind(kind),
            smtp_code=int(code) or None,
            detail=detail,
        )
    elif sign == "T":
        journal.escalations[notice_id] = tuple(map(int, words.split()))
    else:
        raise ValueError(sign)


def _forget(journal: DeadJournal, notice_id: NoticeId) -> None:
    """It was claimed anew: what was noted of it before is settled."""
    journal.started.discard(notice_id)
    journal.ended.pop(notice_id, None)
    journal.escalations.pop(notice_id, None)


def _boot_id() -> str:
    """Name this start of the machine; empty where it cannot be told."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except OSError:
        return ""
