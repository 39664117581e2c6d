"""Opens the CA that the settings name: one door for engine, guard and commands."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from tocsin.ca.backend import CaBackend, Publication
from tocsin.ca.embedded import EmbeddedCa, EmbeddedPublication
from tocsin.ca.issuers import all_issuers
from tocsin.ca.options import BackendKind, read_options
from tocsin.clock import Clock
from tocsin.errors import BadInput
from tocsin.names import readable_name
from tocsin.settings import Settings

EMBEDDED = "embedded"
GROUP = "tocsin.backends"
_SETTING = "TOCSIN_CA_BACKEND"
_FILE_SETTING = "TOCSIN_CA_OPTIONS_FILE"

# Imported only when chosen: the guard loads nothing that its CA does not need.
_SHIPPED = {
    "openbao": "tocsin.ca.backends.openbao",
    "acme": "tocsin.ca.backends.acme",
    "cfssl": "tocsin.ca.backends.cfssl",
    "openssl": "tocsin.ca.backends.openssl",
    "command": "tocsin.ca.backends.command",
    "ejbca": "tocsin.ca.backends.ejbca",
    "dogtag": "tocsin.ca.backends.dogtag",
    "step-ca": "tocsin.ca.backends.step_ca",
    "digicert": "tocsin.ca.backends.digicert",
    "sectigo": "tocsin.ca.backends.sectigo",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedCa:
    """
    A CA, ready to be asked.

    Args:
        backend: Asks it to revoke.
        publication: Reads what it publishes.
        list_issuers: Returns the names of its issuers, by key.

    """

    backend: CaBackend
    publication: Publication
    list_issuers: Callable[[], dict[str, str]]


def open_ca(settings: Settings, *, clock: Clock) -> OpenedCa:
    """
    Build what the settings name; the CA itself is not called.

    Raises:
        BadInput: The settings name no backend, or its options are wrong.

    """
    if settings.ca_backend == EMBEDDED:
        directory = settings.embedded_ca
        return OpenedCa(
            backend=EmbeddedCa(directory, clock=clock),
            publication=EmbeddedPublication(directory, clock=clock),
            list_issuers=lambda: {
                issuer.key: issuer.name for issuer in all_issuers(directory)
            },
        )
    kind = find_backend(settings.ca_backend)
    if settings.ca_options_file is None:
        raise BadInput(
            f"the backend {settings.ca_backend} needs a file with its options",
            field=_FILE_SETTING,
        )
    given = read_options(
        settings.ca_options_file,
        kind,
        ledger=settings.data_directory / "ca-calls" / f"{settings.ca_backend}.json",
    )
    backend, publication = kind.open(given)
    return OpenedCa(
        backend=backend,
        publication=publication,
        list_issuers=lambda: {
            key: readable_name(certificate.subject)
            for key, certificate in given.certificates.items()
        },
    )


def backend_names() -> list[str]:
    """Return the backends that can be chosen: ours, then those of other packages."""
    others = sorted(entry.name for entry in entry_points(group=GROUP))
    return [EMBEDDED, *_SHIPPED, *(name for name in others if name not in _SHIPPED)]


def find_backend(name: str) -> BackendKind[Any, Any]:
    """
    Return a kind of CA by its name; ours come before those of other packages.

    Raises:
        BadInput: There is none of that name, or it cannot be loaded.

    """
    if name in _SHIPPED:
        found = import_module(_SHIPPED[name]).BACKEND
    else:
        entries = entry_points(group=GROUP, name=name)
        if not entries:
            raise BadInput(
                f"there is no backend {name!r}; there are: {', '.join(backend_names())}",
                field=_SETTING,
            )
        try:
            found = next(iter(entries)).load()
        except (ImportError, AttributeError) as error:
            raise BadInput(
                f"the backend {name} cannot be loaded: {error}", field=_SETTING
            ) from error
    if not isinstance(found, BackendKind):
        raise BadInput(f"the backend {name} is no BackendKind", field=_SETTING)
    return found
