"""A court's order as a file: what it is, told by its octets and not by its name."""

from tocsin.errors import BadInput
from tocsin.policy.entries import without_controls

LARGEST = 20_000_000
"""Octets: a scan of some hundred pages."""

_LONGEST_NAME = 120
# What a judge's clerk sends, by how such files begin. Nothing that a browser would run.
_TYPES = (
    (b"%PDF-", "application/pdf", ".pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png", ".png"),
    (b"\xff\xd8\xff", "image/jpeg", ".jpg"),
    (b"II*\x00", "image/tiff", ".tif"),
    (b"MM\x00*", "image/tiff", ".tif"),
)


def media_type_of(content: bytes) -> tuple[str, str]:
    """
    Return what a document is, and how its name ends.

    Raises:
        BadInput: It is empty, too large, or none of the kinds that are kept.

    """
    if not content:
        raise BadInput("Attach the order: a PDF or a scan.", field="document")
    if len(content) > LARGEST:
        raise BadInput(
            f"The file has {len(content) / 1_000_000:.1f} MB, and "
            f"{LARGEST // 1_000_000} MB is the most: scan it with less detail.",
            field="document",
        )
    for begins, media_type, ending in _TYPES:
        if content.startswith(begins):
            return media_type, ending
    raise BadInput(
        "This is no PDF, PNG, JPEG or TIFF by its content: print the order to a PDF, "
        "or scan it.",
        field="document",
    )


def document_name(given: str, ending: str) -> str:
    """Make a plain file name of what a browser calls it, with the ending that it has."""
    plain = without_controls(given).replace("\\", "/").rpartition("/")[2]
    stem = plain.rpartition(".")[0] or plain or "order"
    return stem.strip(". ")[:_LONGEST_NAME] + ending
