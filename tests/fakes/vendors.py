"""What the CAs that cannot run here answer, as their documents or sources say."""

# ruff: noqa: PLR0911 - one return for each answer

import base64
import json
import re
from collections.abc import Callable
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from fakes.web_ca import Asked, Said, WebCa

from models.terms import Reason
from tocsin.ca.backend import AnswerKind, StatusKind
from tocsin.ca.issuers import all_issuers

Answer = Callable[[Asked], Said]

EJBCA_REASONS = {
    "UNSPECIFIED": Reason.UNSPECIFIED,
    "KEY_COMPROMISE": Reason.KEY_COMPROMISE,
    "AFFILIATION_CHANGED": Reason.AFFILIATION_CHANGED,
    "SUPERSEDED": Reason.SUPERSEDED,
    "CESSATION_OF_OPERATION": Reason.CESSATION_OF_OPERATION,
    "PRIVILEGES_WITHDRAWN": Reason.PRIVILEGE_WITHDRAWN,
}
DOGTAG_REASONS = {
    "Unspecified": Reason.UNSPECIFIED,
    "Key_Compromise": Reason.KEY_COMPROMISE,
    "Affiliation_Changed": Reason.AFFILIATION_CHANGED,
    "Superseded": Reason.SUPERSEDED,
    "Cessation_of_Operation": Reason.CESSATION_OF_OPERATION,
    "Privilege_Withdrawn": Reason.PRIVILEGE_WITHDRAWN,
}


def ejbca(ca: WebCa) -> Answer:
    """EJBCA CE: CertificateRestResource.java, ExceptionHandler.java."""
    (issuer,) = all_issuers(ca.folder)
    dn = issuer.certificate.subject.rfc4514_string()
    path = re.compile(r"/ejbca/ejbca-rest-api/v1/certificate/([^/]+)/([0-9a-f]+)/(\w+)")

    def body(serial: int, message: str) -> dict[str, object]:
        kind, at, reason = ca.status(serial)
        words = {reason: word for word, reason in EJBCA_REASONS.items()}
        revoked = kind is StatusKind.REVOKED
        return {
            "issuer_dn": dn,
            "serial_number": f"{serial:x}",
            "revoked": revoked,
            "revocation_date": at.isoformat().replace("+00:00", "Z") if at else None,
            "revocation_reason": words[reason] if reason is not None else None,
            "message": message,
        }

    def error(code: int, message: str) -> Said:
        return Said(code, {"error_code": code, "error_message": message})

    def answer(asked: Asked) -> Said:
        parts = urlsplit(asked.path)
        found = path.fullmatch(parts.path)
        if found is None or unquote(found[1]) != dn:
            return error(404, "CA does not exist")
        serial = int(found[2], 16)
        kind, _, _ = ca.status(serial)
        if kind is StatusKind.UNKNOWN:
            return error(404, f"Certificate with serial {serial:x} was not found")
        if (asked.method, found[3]) == ("GET", "revocationstatus"):
            return Said(200, body(serial, "Certificate status"))
        if (asked.method, found[3]) != ("PUT", "revoke"):
            return error(405, "HTTP 405 Method Not Allowed")
        word = parse_qs(parts.query).get("reason", [""])[0]
        if word not in EJBCA_REASONS:
            return error(400, "Invalid revocation reason")
        if kind is StatusKind.REVOKED:
            return error(409, "Certificate is already revoked")
        ca.revoke(serial, EJBCA_REASONS[word])
        return Said(200, body(serial, "Successfully revoked"))

    return answer


def dogtag(ca: WebCa) -> Answer:
    """Dogtag: AgentCertServlet.java, RevocationProcessor.java, CertData.java."""
    path = re.compile(r"/ca/rest/agent/certs/0x([0-9a-f]+)(/revoke)?")
    nonces: dict[str, int] = {}

    def error(code: int, message: str) -> Said:
        return Said(code, {"Attributes": {}, "Code": code, "Message": message})

    def answer(asked: Asked) -> Said:
        found = path.fullmatch(asked.path)
        if found is None:
            return error(404, "no such resource")
        serial = int(found[1], 16)
        kind, at, reason = ca.status(serial)
        if kind is StatusKind.UNKNOWN:
            return error(404, f"Certificate ID 0x{serial:x} not found")
        if asked.method == "GET":
            session = f"session-{len(nonces)}"
            nonces[session] = 7_000_000_000 + len(nonces)
            record: dict[str, object] = {
                "id": f"0x{serial:x}",
                "Status": "REVOKED" if kind is StatusKind.REVOKED else "VALID",
                "Nonce": nonces[session],
            }
            if at is not None:
                record["RevokedOn"] = int(at.timestamp() * 1000)
                record["RevocationReason"] = int(reason or 0)
            return Said(200, record, {"Set-Cookie": f"JSESSIONID={session}; Path=/ca"})
        session = asked.headers.get("Cookie", "").removeprefix("JSESSIONID=")
        if nonces.pop(session, None) != asked.data["Nonce"]:
            return error(400, "Nonce value is missing or invalid")
        if kind is StatusKind.REVOKED:
            return error(400, f"certificate 0x{serial:x} has already been revoked")
        # What it does not know is Unspecified, without a word.
        ca.revoke(serial, DOGTAG_REASONS.get(asked.data["Reason"], Reason.UNSPECIFIED))
        return Said(
            200,
            {
                "requestType": "revocation",
                "requestStatus": "complete",
                "operationResult": "success",
            },
        )

    return answer


def step_ca(ca: WebCa, provisioner: ec.EllipticCurvePublicKey) -> Answer:
    """step-ca: api/revoke.go, authority/tls.go."""

    def claims(token: str, host: str) -> dict[str, object]:
        head, middle, signature = token.split(".")
        raw = _unpadded(signature)
        half = len(raw) // 2
        provisioner.verify(
            encode_dss_signature(
                int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big")
            ),
            f"{head}.{middle}".encode(),
            ec.ECDSA(hashes.SHA256()),
        )
        assert json.loads(_unpadded(head))["kid"]
        told: dict[str, object] = json.loads(_unpadded(middle))
        assert told["aud"] == f"http://{host}/1.0/revoke"
        assert told["iss"] == "revoker"
        return told

    used: set[object] = set()

    def error(code: int, message: str) -> Said:
        return Said(code, {"status": code, "message": message})

    def answer(asked: Asked) -> Said:
        if asked.path == "/health":
            return Said(200, {"status": "ok"})
        if asked.path != "/1.0/revoke":
            return error(404, "404 page not found")
        given = asked.data
        if not given["passive"]:
            return error(501, "non-passive revocation not implemented")
        told = claims(given["ott"], asked.headers["Host"])
        if told["sub"] != given["serial"] or told["jti"] in used:
            return error(401, "The request lacked necessary authorization")
        used.add(told["jti"])
        serial = int(given["serial"])  # decimal; and never looked up
        kind, _, _ = ca.status(serial)
        if kind is StatusKind.REVOKED:
            return error(
                400, f"certificate with serial number '{serial}' is already revoked"
            )
        ca.revoke(serial, Reason(given["reasonCode"]))
        return Said(200, {"status": "ok"})

    return answer


def digicert(ca: WebCa) -> Answer:
    """DigiCert: dev.digicert.com, "Revoke certificate" and "Errors"."""
    words = {reason.name.lower(): reason for reason in Reason}

    def error(status: int, code: str, message: str) -> Said:
        return Said(status, {"errors": [{"code": code, "message": message}]})

    def answer(asked: Asked) -> Said:
        if asked.headers.get("X-DC-DEVKEY") != "open sesame":
            return error(401, "invalid_token", "The API key is invalid")
        if asked.path == "/user/me":
            return Said(200, {"id": 1, "access_roles": [{"name": "Administrator"}]})
        found = re.fullmatch(r"/certificate/([0-9A-F]+)/revoke", asked.path)
        if asked.method != "PUT" or found is None:
            return error(404, "not_found", "not found")
        serial, given = int(found[1], 16), asked.data
        kind, _, _ = ca.status(serial)
        if kind is StatusKind.UNKNOWN:
            return error(404, "not_found|certificate", "Certificate does not exist")
        if kind is StatusKind.REVOKED:
            return error(400, "invalid_status", "Certificate is already revoked")
        if not given.get("skip_approval"):
            return Said(201, {"id": 7, "type": "revoke", "status": "pending"})
        ca.revoke(serial, words[given["revocation_reason"]])
        return Said(204)

    return answer


def sectigo(ca: WebCa) -> Answer:
    """Sectigo: docs.sectigo.com/sps/auto-revoke-ssl/request."""

    def answer(asked: Asked) -> Said:
        form = {name: each[0] for name, each in parse_qs(asked.body.decode()).items()}
        if asked.method != "POST":
            return Said(200, "-17\nRequest is not a POST")
        if (form["loginName"], form["loginPassword"]) != ("tocsin", "open sesame"):
            return Said(200, "-16\nPermission denied!")
        if form["codeReason"] not in {"0", "1", "3", "4", "5"}:
            return Said(200, "-4\nThe value of the 'codeReason' argument is invalid!")
        serial = int(form["serialNumber"], 16)
        kind, _, _ = ca.status(serial)
        if kind is StatusKind.UNKNOWN:
            return Said(200, "-20\nThe certificate was not found!")
        if kind is StatusKind.REVOKED:
            return Said(200, "-21\nThe certificate has already been revoked!")
        if form["test"] != "Y" and form["includeInCRL"] == "Y":
            assert ca.revoke(serial, Reason(int(form["codeReason"]))).kind is (
                AnswerKind.DONE
            )
        return Said(200, "0\n")

    return answer


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
