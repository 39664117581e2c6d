"""New certificates for their owners to fetch, one by one or all in a zip."""

import base64
import io
import re
import zipfile

from fastapi import APIRouter
from fastapi.responses import Response

from models.terms import ReplacementId
from tocsin.portal.desk import DeadLink, TheDesk
from tocsin.store.replacements import IssuedReplacement

_READ = ["GET", "HEAD"]
_LINE = 64
_LONGEST_KEY = 18
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a zip's earliest: the same bytes each time


def add_download_routes(router: APIRouter) -> None:
    """Add what is fetched behind a link; nothing of it changes anything (I6)."""
    router.add_api_route("/s/{token}/replacements.zip", _all, methods=_READ)
    router.add_api_route("/s/{token}/replacement/{key}.pem", _one, methods=_READ)


def _one(desk: TheDesk, token: str, key: str) -> Response:
    visit = desk.open(token)
    if not (key.isascii() and key.isdigit() and len(key) <= _LONGEST_KEY):
        raise DeadLink
    found = desk.replacements(visit, ReplacementId(int(key)))
    if not found:
        raise DeadLink
    return _attached(
        pem_of(found[0]), _file_name(found[0], "pem"), "application/x-pem-file"
    )


def _all(desk: TheDesk, token: str) -> Response:
    visit = desk.open(token)
    found = desk.replacements(visit)
    if not found:
        raise DeadLink
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for one in found:
            archive.writestr(
                zipfile.ZipInfo(_file_name(one, "pem"), _EPOCH), pem_of(one)
            )
    return _attached(file.getvalue(), "replacements.zip", "application/zip")


def pem_of(one: IssuedReplacement) -> bytes:
    """Return the certificate and its chain, in the order in which servers send them."""
    text = base64.b64encode(one.der).decode("ascii")
    lines = [text[at : at + _LINE] for at in range(0, len(text), _LINE)]
    leaf = "\n".join(
        ("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", "")
    )
    return (leaf + one.chain).encode("ascii")


def _file_name(one: IssuedReplacement, ending: str) -> str:
    host = re.sub(r"[^a-z0-9.-]", "_", one.name.casefold())[:100]
    return f"{host}-{one.serial[-8:]}.{ending}"


def _attached(content: bytes, name: str, media_type: str) -> Response:
    return Response(
        content,
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
