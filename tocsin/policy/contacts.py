"""What colleagues see of each other; no I/O."""


def masked(email: str) -> str:
    """Return an address as colleagues see it: to be recognised, not to be used."""
    local, at, domain = email.rpartition("@")
    return f"{local[:1]}***{at}{domain}"
