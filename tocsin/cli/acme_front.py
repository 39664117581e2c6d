"""The command that starts the front for a CA's ACME server."""

from tocsin.cli.processes import become


def acme_front() -> None:
    """
    Stand before the CA's ACME server and tell affected clients to renew (RFC 9773).

    Everything else passes as it comes. Needs TOCSIN_ACME_UPSTREAM.
    """
    become("tocsin.portal.acme_front")
