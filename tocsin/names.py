"""Names of issuers and subjects; without one key for one name, two spellings of a CA would be two CAs."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator

from cryptography import x509

from tocsin.errors import BadInput

# RFC 4519 and RFC 4514 section 3, the CA/Browser Forum's EV attributes, and the short
# names that OpenSSL, crt.sh and Windows print. The first spelling of an OID is the one
# we write.
_SHORT_NAMES: tuple[tuple[str, str], ...] = (
    ("CN", "2.5.4.3"),
    ("commonName", "2.5.4.3"),
    ("SN", "2.5.4.4"),
    ("surname", "2.5.4.4"),
    ("serialNumber", "2.5.4.5"),
    ("C", "2.5.4.6"),
    ("countryName", "2.5.4.6"),
    ("L", "2.5.4.7"),
    ("localityName", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("S", "2.5.4.8"),
    ("stateOrProvinceName", "2.5.4.8"),
    ("street", "2.5.4.9"),
    ("streetAddress", "2.5.4.9"),
    ("O", "2.5.4.10"),
    ("organizationName", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("organizationalUnitName", "2.5.4.11"),
    ("title", "2.5.4.12"),
    ("T", "2.5.4.12"),
    ("description", "2.5.4.13"),
    ("businessCategory", "2.5.4.15"),
    ("postalAddress", "2.5.4.16"),
    ("postalCode", "2.5.4.17"),
    ("postOfficeBox", "2.5.4.18"),
    ("telephoneNumber", "2.5.4.20"),
    ("name", "2.5.4.41"),
    ("GN", "2.5.4.42"),
    ("G", "2.5.4.42"),
    ("givenName", "2.5.4.42"),
    ("initials", "2.5.4.43"),
    ("generationQualifier", "2.5.4.44"),
    ("x500UniqueIdentifier", "2.5.4.45"),
    ("dnQualifier", "2.5.4.46"),
    ("dnq", "2.5.4.46"),
    ("pseudonym", "2.5.4.65"),
    ("organizationIdentifier", "2.5.4.97"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("domainComponent", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("userId", "0.9.2342.19200300.100.1.1"),
    ("emailAddress", "1.2.840.113549.1.9.1"),
    ("E", "1.2.840.113549.1.9.1"),
    ("email", "1.2.840.113549.1.9.1"),
    ("unstructuredName", "1.2.840.113549.1.9.2"),
    ("unstructuredAddress", "1.2.840.113549.1.9.8"),
    ("jurisdictionL", "1.3.6.1.4.1.311.60.2.1.1"),
    ("jurisdictionLocalityName", "1.3.6.1.4.1.311.60.2.1.1"),
    ("jurisdictionST", "1.3.6.1.4.1.311.60.2.1.2"),
    ("jurisdictionStateOrProvinceName", "1.3.6.1.4.1.311.60.2.1.2"),
    ("jurisdictionC", "1.3.6.1.4.1.311.60.2.1.3"),
    ("jurisdictionCountryName", "1.3.6.1.4.1.311.60.2.1.3"),
)
_OID_BY_NAME = {short.casefold(): oid for short, oid in _SHORT_NAMES}
_NAME_BY_OID = {oid: short for short, oid in reversed(_SHORT_NAMES)}

_DOTTED = re.compile(r"(?:OID\.)?([0-2](?:\.\d+)+)", re.IGNORECASE)
_TYPE_AHEAD = re.compile(r"\s*([A-Za-z][A-Za-z0-9-]*|(?:OID\.)?\d+(?:\.\d+)+)\s*=")
_PRINTED_BY_OPENSSL = re.compile(
    r"(?:issuer|subject)\s*[=:]\s*(?=/|\S+\s*=)", re.IGNORECASE
)
_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}")
_HEX_VALUE = re.compile(r"#((?:[0-9A-Fa-f]{2})+)")

_BIT_STRING = 0x03
_BMP_STRING = 0x1E
_UNIVERSAL_STRING = 0x1C
_STRINGS = frozenset((0x0C, 0x12, 0x13, 0x14, 0x16, 0x1A, 0x1B))
_LONG_FORM = 0x80
_LONGEST_KEY = 200  # the column's width
_FIRST_PRINTABLE = 0x20
_LOOSE_SEPARATORS = ",;"


def canonical_key(attributes: Iterable[tuple[str, str]]) -> str:
    """
    Return the key by which a name is known, whoever wrote it down.

    Order, case and runs of blanks do not matter: exports print the same name in either
    direction, and databases change its case.

    Args:
        attributes: Dotted OID and value of each attribute; repeated ones count.

    Returns:
        SHA-256 as hex.

    """
    canonical = sorted((oid, _folded(value)) for oid, value in attributes)
    text = json.dumps(canonical, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def key_of_name(name: x509.Name) -> str:
    """Return the key of a parsed X.509 name."""
    return canonical_key(_attributes(name))


def readable_name(name: x509.Name | Iterable[tuple[str, str]]) -> str:
    """Write a name in the certificate's order, as in ``C=HK, O=Example, CN=a.hk``."""
    attributes = _attributes(name) if isinstance(name, x509.Name) else name
    return ", ".join(
        f"{_NAME_BY_OID.get(oid, oid)}={_escaped(value)}" for oid, value in attributes
    )


def parse_name(text: str) -> list[tuple[str, str]]:
    """
    Read a name as RFC 4514, crt.sh or OpenSSL print it.

    Args:
        text: ``CN=a,O=b``, ``C=HK, O="b, c"`` or ``/C=HK/O=b``; escapes, quotes and
            multi-valued parts (``+``) are understood.

    Returns:
        Dotted OID and value of each attribute, in the order of the text.

    Raises:
        BadInput: It is not a name, or has an attribute type nobody knows.

    """
    stripped = text.strip()
    printed = _PRINTED_BY_OPENSSL.match(stripped)
    if printed:
        stripped = stripped[printed.end() :]
    slashed = stripped.startswith("/")
    pairs = _split_at_slashes(stripped) if slashed else _split_at_commas(stripped)
    attributes = [(_oid(kind), value) for kind, value in pairs]
    if not attributes:
        raise BadInput("no name: give it as in 'C=HK, O=Example, CN=Example CA'.")
    return attributes


def subscriber_key(name: str) -> str:
    """
    Return the key by which an organisation is known: case and runs of blanks aside.

    At most 200 characters; what is longer ends in its hash.
    """
    key = " ".join(name.casefold().split())
    if len(key) <= _LONGEST_KEY:
        return key
    return key[: _LONGEST_KEY - 65] + ":" + hashlib.sha256(key.encode()).hexdigest()


def decoded_value(tag: int, octets: bytes) -> str:
    """
    Return the text of one attribute's value; never fails.

    What is no string is written as RFC 4514 does, ``#`` and the DER in hex.

    Args:
        tag: The ASN.1 tag of the value.
        octets: Its content.

    """
    if tag == _BMP_STRING:
        return octets.decode("utf-16-be", "replace")
    if tag == _UNIVERSAL_STRING:
        return octets.decode("utf-32-be", "replace")
    if tag not in _STRINGS:
        return "#" + (_der_header(tag, len(octets)) + octets).hex()
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _attributes(name: x509.Name) -> Iterator[tuple[str, str]]:
    for attribute in name:
        value: str | bytes = attribute.value
        if isinstance(value, bytes):  # cryptography gives a BIT STRING's octets
            value = decoded_value(_BIT_STRING, value)
        yield attribute.oid.dotted_string, value


def _folded(value: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


def _escaped(value: str) -> str:
    if value.isalnum():
        return value
    text = "".join(
        f"\\{character}"
        if character in '\\,+";<>'
        else f"\\{ord(character):02X}"
        if ord(character) < _FIRST_PRINTABLE
        else character
        for character in value
    )
    # Blanks at either end as hex: whoever strips a line would cut an escaped one in two.
    if text.endswith(" "):
        text = text[:-1] + "\\20"
    if text.startswith(" "):
        return "\\20" + text[1:]
    if text.startswith("#") and not _HEX_VALUE.fullmatch(text):
        return "\\" + text
    return text


def _oid(kind: str) -> str:
    known = _OID_BY_NAME.get(kind.casefold())
    if known:
        return known
    dotted = _DOTTED.fullmatch(kind)
    if dotted:
        return dotted[1]
    raise BadInput(
        f"'{kind}' is no attribute type of a name; known are CN, O, OU, C, L, ST and "
        f"others of RFC 4519, or a dotted OID."
    )


def _split_at_slashes(text: str) -> Iterator[tuple[str, str]]:
    """Split ``/C=HK/O=a/b``: a slash or plus starts a part where a known type follows."""
    starts = [
        match
        for match in re.finditer(r"[/+]([A-Za-z][A-Za-z0-9]*|\d+(?:\.\d+)+)=", text)
        if match.start() == 0 or _is_known(match[1])
    ]
    if not starts or starts[0].start() != 0:
        raise BadInput(
            f"'{_shortened(text)}' is not a name: after each '/' belongs a type, as in "
            f"'/C=HK/O=Example/CN=Example CA'."
        )
    ends = [match.start() for match in starts[1:]] + [len(text)]
    for match, end in zip(starts, ends, strict=True):
        yield match[1], _unescaped_by_openssl(text[match.end() : end])


def _is_known(kind: str) -> bool:
    return kind.casefold() in _OID_BY_NAME or _DOTTED.fullmatch(kind) is not None


def _unescaped_by_openssl(value: str) -> str:
    r"""Turn ``\xE9\xA6\x99`` back into the octets OpenSSL would not print."""
    if "\\x" not in value:
        return value
    octets = re.sub(
        rb"\\x([0-9A-Fa-f]{2})",
        lambda match: bytes([int(match[1], 16)]),
        value.encode("utf-8"),
    )
    return decoded_value(0x0C, octets)


def _split_at_commas(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        start = _TYPE_AHEAD.match(text, position)
        if start is None:
            raise BadInput(
                f"'{_shortened(text)}' is not a name: expected a type and '=' at "
                f"character {position + 1}, as in 'C=HK, O=Example, CN=Example CA'."
            )
        value, position = _value_at(text, start.end())
        yield start[1], value


def _value_at(text: str, position: int) -> tuple[str, int]:
    """Read one value; return it and where the next type begins."""
    while position < len(text) and text[position] == " ":
        position += 1
    hexadecimal = _HEX_VALUE.match(text, position)
    if hexadecimal and text[hexadecimal.end() :].lstrip()[:1] in ("", ",", "+", ";"):
        end = _next_separator(text, hexadecimal.end())
        return _from_hex(hexadecimal[1]), end + 1
    octets = bytearray()
    quoted = text[position : position + 1] == '"'
    position += quoted
    kept = 0  # blanks at the end belong to the value only where they were escaped
    while position < len(text):
        character = text[position]
        if character == "\\":
            octet, position = _escape_at(text, position)
            octets += octet
            kept = len(octets)
            continue
        if quoted and character == '"':
            return octets.decode("utf-8", "replace"), _next_separator(
                text, position + 1
            ) + 1
        if not quoted and _separates(text, position):
            break
        octets += character.encode("utf-8", "replace")
        position += 1
        if not character.isspace():
            kept = len(octets)
    if quoted:
        raise BadInput(f"'{_shortened(text)}': a quotation mark is not closed.")
    return octets[:kept].decode("utf-8", "replace"), position + 1


def _separates(text: str, position: int) -> bool:
    """
    Whether a value ends here.

    Many exports leave ``O=Example, Inc.`` unescaped: a comma or semicolon that no type
    follows belongs to the value.
    """
    character = text[position]
    if character == "+":
        ahead = _TYPE_AHEAD.match(text, position + 1)
        return ahead is not None and _is_known(ahead[1])
    return character in _LOOSE_SEPARATORS and (
        _TYPE_AHEAD.match(text, position + 1) is not None
    )


def _next_separator(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    if position < len(text) and text[position] not in ",;+":
        raise BadInput(
            f"'{_shortened(text)}': a separator belongs at character {position + 1}."
        )
    return position


def _escape_at(text: str, position: int) -> tuple[bytes, int]:
    pair = _HEX_PAIR.match(text, position + 1)
    if pair:
        return bytes([int(pair[0], 16)]), pair.end()
    escaped = text[position + 1 : position + 2]
    if not escaped:
        raise BadInput(f"'{_shortened(text)}' ends in the middle of an escape.")
    return escaped.encode("utf-8", "replace"), position + 2


def _from_hex(digits: str) -> str:
    """Decode RFC 4514's ``#`` form, the DER of the value."""
    der = bytes.fromhex(digits)
    if len(der) >= 2 and der[1] < _LONG_FORM and len(der) == 2 + der[1]:  # noqa: PLR2004
        return decoded_value(der[0], der[2:])
    return "#" + digits.lower()


def _der_header(tag: int, length: int) -> bytes:
    if length < _LONG_FORM:
        return bytes((tag, length))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, _LONG_FORM | len(size))) + size


def _shortened(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004
