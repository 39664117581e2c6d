"""What an operator says about the CA, in one TOML file; checked when a process starts."""

import ssl
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from models.terms import Reason
from tocsin.ca.backend import CaBackend, Capabilities, Limit, Publication
from tocsin.ca.transport.limits import Ledger, sustained_rate
from tocsin.ca.transport.pacing import (
    MonotonicTimer,
    Pacer,
    Trouble,
    TroubleKind,
)
from tocsin.ca.transport.published import PublishedAt, PublishedPlaces, is_url
from tocsin.ca.transport.web import Web, tls_context
from tocsin.errors import BadInput
from tocsin.names import key_of_name


def _beside(value: Any, info: ValidationInfo) -> Any:
    """Take a relative path from the folder of the options file."""
    folder: Path = (info.context or {})["folder"]
    return folder / value if isinstance(value, str) else value


def _readable(file: Path) -> Path:
    if not file.is_file():
        message = f"there is no file {file}"
        raise ValueError(message)
    return file


def _url(value: str) -> str:
    if not is_url(value):
        message = "give a URL that begins with http:// or https://"
        raise ValueError(message)
    return value.rstrip("/")


def _places(value: Any, info: ValidationInfo) -> Any:
    places = [value] if isinstance(value, str) else value
    if not isinstance(places, list):
        return places
    return tuple(
        place
        if not isinstance(place, str) or is_url(place)
        else str(_beside(place, info))
        for place in places
    )


Somewhere = Annotated[Path, BeforeValidator(_beside)]
ExistingFile = Annotated[Somewhere, AfterValidator(_readable)]
Url = Annotated[str, AfterValidator(_url)]


class Options(BaseModel):
    """A table of the file; an unknown name in it is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LimitOptions(Options):
    """One limit as the CA publishes it."""

    calls: int = Field(ge=1, description="So many calls...")
    seconds: float = Field(gt=0, description="... in any stretch of so many seconds.")


class CaOptions(Options):
    """What can be said of every CA; the table [ca]."""

    rate_per_second: float = Field(
        gt=0,
        description="Revocations the CA takes per second; the plan is made with it.",
    )
    publication_delay_seconds: float = Field(
        default=60,
        ge=0,
        description="From an answered revocation to its visibility, at most.",
    )
    timeout_seconds: float = Field(
        default=10, gt=0, le=60, description="How long to wait for an answer."
    )
    at_once: int = Field(
        default=1, ge=1, le=64, description="Requests on their way at the same time."
    )
    limits: tuple[LimitOptions, ...] = Field(
        default=(), description="Limits the CA publishes; all of them are kept."
    )
    reasons_may_be_lost: bool = Field(
        default=False,
        description="Launch incidents although this CA does not publish their reason.",
    )

    @property
    def publication_delay(self) -> timedelta:
        """From an answered revocation to its visibility, at most."""
        return timedelta(seconds=self.publication_delay_seconds)

    @property
    def kept_limits(self) -> tuple[Limit, ...]:
        """The limits the CA publishes."""
        return tuple(Limit(each.calls, each.seconds) for each in self.limits)

    def capabilities(
        self,
        name: str,
        *,
        keeps_reasons: frozenset[Reason],
        safe_to_repeat: bool,
        checks_unknown: bool,
        needs_certificate: bool = False,
        tells_status: bool = True,
    ) -> Capabilities:
        """Return what a CA of some kind can do under these options."""
        limits = self.kept_limits
        return Capabilities(
            name=name,
            keeps_reasons=keeps_reasons,
            safe_to_repeat=safe_to_repeat,
            checks_unknown=checks_unknown,
            rate_per_second=min(self.rate_per_second, sustained_rate(limits)),
            publication_delay=self.publication_delay,
            needs_certificate=needs_certificate,
            tells_status=tells_status,
            at_once=self.at_once,
            limits=limits,
            reasons_may_be_lost=self.reasons_may_be_lost,
        )


class WebOptions(CaOptions):
    """What can be said of every CA that is called over HTTP."""

    url: Url = Field(description="Where the CA's API is.")
    trust_file: ExistingFile | None = Field(
        default=None,
        description="Authorities that may vouch for the CA's server, PEM. "
        "Absent: the system's.",
    )
    client_certificate_file: ExistingFile | None = Field(
        default=None, description="Our certificate for TLS, PEM. Absent: none."
    )
    client_key_file: ExistingFile | None = Field(
        default=None,
        description="Its key, PEM. Absent: in the file of the certificate.",
    )

    @property
    def tls(self) -> ssl.SSLContext | None:
        """Whom we trust and who we are; None where nothing is said."""
        if self.trust_file is None and self.client_certificate_file is None:
            return None
        return tls_context(
            trust=self.trust_file,
            certificate=self.client_certificate_file,
            key=self.client_key_file,
        )


class IssuerOptions(Options):
    """One issuer of the CA; a table [[issuer]]."""

    certificate: ExistingFile = Field(
        description="The issuer's certificate, PEM or DER."
    )
    crl: Annotated[tuple[str, ...], BeforeValidator(_places)] = Field(
        default=(),
        description="Where its CRL is: a URL or a file; a list of them for shards.",
    )
    crl_by_certificates: bool = Field(
        default=False,
        description="Read each certificate's CRL where the certificate says that it is; "
        "crl is then for those that do not say. So it is, too, where no crl is known.",
    )
    ocsp: Url | None = Field(
        default=None, description="Its OCSP responder. Absent: the CRL alone is read."
    )

    def read_certificate(self) -> x509.Certificate:
        """
        Return the issuer's certificate.

        Raises:
            BadInput: The file holds none.

        """
        content = self.certificate.read_bytes()
        try:
            if b"-----BEGIN" in content:
                return x509.load_pem_x509_certificate(content)
            return x509.load_der_x509_certificate(content)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise BadInput(
                f"no certificate in PEM or DER: {error}", file=str(self.certificate)
            ) from error


_C = TypeVar("_C", bound=CaOptions)
_I = TypeVar("_I", bound=IssuerOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given(Generic[_C, _I]):
    """
    The options of one CA, checked.

    Args:
        ca: Of the CA.
        issuers: Of its issuers, by the SHA-256 of the name in canonical form.
        certificates: Their certificates.
        ledger: The file in which processes share what counts against limits.

    """

    ca: _C
    issuers: Mapping[str, _I]
    certificates: Mapping[str, x509.Certificate]
    ledger: Path | None

    def publication(
        self, places: Mapping[str, tuple[tuple[str, ...], str | None]] | None = None
    ) -> PublishedPlaces:
        """
        Return a reader of what the issuers publish.

        Args:
            places: CRLs and responder where the options name none.

        """
        known = places or {}
        found = {}
        for key, issuer in self.issuers.items():
            crls, responder = known.get(key, ((), None))
            found[key] = PublishedAt(
                certificate=self.certificates[key],
                crls=issuer.crl or crls,
                by_certificates=issuer.crl_by_certificates or not (issuer.crl or crls),
                ocsp=issuer.ocsp or responder,
            )
        return PublishedPlaces(found, timeout=self.ca.timeout_seconds)

    def pacer(self) -> Pacer:
        """Return what calls the CA within its limits."""
        timer = MonotonicTimer()
        ledger = Ledger(
            self.ca.kept_limits,
            timer=timer,
            timeout=self.ca.timeout_seconds,
            file=self.ledger,
        )
        return Pacer(at_once=self.ca.at_once, ledger=ledger, timer=timer)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendKind(Generic[_C, _I]):
    """
    A kind of CA: what an entry point of the group ``tocsin.backends`` names.

    Args:
        title: What it is, for people.
        tried: What it was tried against, in words: a server, or only a document.
        ca: The model of the table [ca].
        issuer: The model of each table [[issuer]].
        open: Builds the backend, and a reader of what it publishes, from options.

    """

    title: str
    tried: str
    ca: type[_C]
    issuer: type[_I]
    open: Callable[[Given[_C, _I]], tuple[CaBackend, Publication]]


def read_options(
    file: Path, kind: BackendKind[_C, _I], *, ledger: Path | None = None
) -> Given[_C, _I]:
    """
    Read and check the options of a CA.

    Args:
        file: TOML.
        kind: Which kind of CA it is for.
        ledger: Where processes share what counts against limits.

    Raises:
        BadInput: With the file, and the name of what is wrong in it.

    """
    data = _read_toml(file)
    if unknown := sorted(set(data) - {"ca", "issuer"}):
        raise BadInput(
            "only [ca] and [[issuer]] have a meaning here",
            file=str(file),
            field=unknown[0],
        )
    tables = data.get("issuer", [])
    if not isinstance(tables, list) or not tables:
        raise BadInput(
            "name each issuer in a table [[issuer]], at least one", file=str(file)
        )
    given = _checked(file, kind.ca, data.get("ca", {}), "ca")
    issuers: dict[str, _I] = {}
    certificates: dict[str, x509.Certificate] = {}
    for number, entry in enumerate(tables, start=1):
        checked = _checked(file, kind.issuer, entry, f"issuer {number}")
        certificate = checked.read_certificate()
        key = key_of_name(certificate.subject)
        if key in issuers:
            raise BadInput(
                "a second issuer of the same name",
                file=str(file),
                field=f"issuer {number}",
            )
        issuers[key] = checked
        certificates[key] = certificate
    return Given(ca=given, issuers=issuers, certificates=certificates, ledger=ledger)


def read_secret(file: Path) -> str:
    """
    Return a secret from its file; asked each time, so that it can be changed.

    Raises:
        Unavailable: It cannot be read now.

    """
    try:
        return file.read_text("utf-8").strip()
    except OSError as error:
        message = f"the secret {file} cannot be read: {error.strerror}"
        raise Trouble(message, kind=TroubleKind.BARRED) from error


def open_web(options: WebOptions, **more: Any) -> Web:
    """Return connections to a CA as the options say."""
    return Web(
        options.url,
        timeout=options.timeout_seconds,
        connections=options.at_once,
        tls=options.tls,
        **more,
    )


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=str(file)) from error
    except ValueError as error:
        raise BadInput(f"not TOML: {error}", file=str(file)) from error


_M = TypeVar("_M", bound=Options)


def _checked(file: Path, model: type[_M], table: object, name: str) -> _M:
    try:
        return model.model_validate(table, context={"folder": file.parent})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in (name, *first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"no such option; there are: {', '.join(model.model_fields)}"
        elif first["type"] == "missing":
            message = "missing"
        raise BadInput(message, file=str(file), field=field) from error
