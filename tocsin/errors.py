"""Errors that say who must act; without them every failure would look like ours."""

from tocsin.phrases import Phrase


class TocsinError(Exception):
    """The root of what Tocsin raises on purpose."""


class BadInput(TocsinError):  # noqa: N818 - named for what happened, not for the class
    """
    The sender must change what they sent.

    Args:
        message: What is wrong and what to do about it.
        file: The file or form field it came from.
        row: The row, counted from 1 with the header as row 1; None where there is none.
        field: The column or form field.

    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        row: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.row = row
        self.field = field

    def __str__(self) -> str:
        place = [
            part
            for part in (
                self.file,
                f"row {self.row}" if self.row is not None else None,
                f"field {self.field}" if self.field else None,
            )
            if part
        ]
        return f"{', '.join(place)}: {self.message}" if place else self.message


class Refused(TocsinError):  # noqa: N818
    """
    A rule forbids it; trying again changes nothing.

    Args:
        message: What was refused; a phrase where a subscriber may read it.
        source: The rule, such as "TLS BR 4.9.1.1 (12)" or "I1".

    """

    def __init__(self, message: str | Phrase, *, source: str) -> None:
        super().__init__(f"{message} ({source})")
        self.message = message
        self.source = source


class Unavailable(TocsinError):  # noqa: N818
    """Something we need does not answer; what was due stays due."""


class InDoubt(TocsinError):  # noqa: N818
    """It may have happened: look before repeating."""


class Broken(TocsinError):  # noqa: N818
    """We are wrong: stop, and say so loudly."""
