"""Commands for the embedded CA: make or add an issuer, show what it published."""

from pathlib import Path
from typing import Annotated

import typer

from tocsin.ca.issuers import add_issuer, create_issuer, summarise
from tocsin.ca.shards import shard_crl
from tocsin.clock import SystemClock
from tocsin.errors import BadInput
from tocsin.settings import read_settings

app = typer.Typer(
    help="The CA that comes with Tocsin: for trying out, drills and small CAs.",
    no_args_is_help=True,
)


@app.command("create")
def create(
    *,
    name: Annotated[str, typer.Option(help="Common name of the new issuer.")],
    organisation: Annotated[
        str | None, typer.Option(help="Organisation in its name.")
    ] = None,
    country: Annotated[
        str | None, typer.Option(help="Country in its name, two letters.")
    ] = None,
) -> None:
    """Make an issuer with a key of its own."""
    directory = read_settings().embedded_ca
    key = create_issuer(
        directory,
        name=name,
        organisation=organisation,
        country=country,
        now=SystemClock().now(),
    )
    typer.echo(f"Issuer {key} is in {directory}.")


@app.command("add")
def add(
    *,
    certificate: Annotated[
        Path, typer.Option(help="The issuer's certificate, PEM.", dir_okay=False)
    ],
    key: Annotated[
        Path,
        typer.Option(help="Its key, PEM, RSA or EC, no passphrase.", dir_okay=False),
    ],
) -> None:
    """Take in an issuer that exists, so that its certificates can be revoked here."""
    directory = read_settings().embedded_ca
    added = add_issuer(
        directory,
        certificate_pem=_read(certificate, "certificate"),
        key_pem=_read(key, "key"),
    )
    typer.echo(f"Issuer {added} is in {directory}.")


@app.command("shard")
def shard(
    issuer: Annotated[str, typer.Argument(help="The issuer's key.")],
    *,
    url: Annotated[
        str,
        typer.Option(help="Where the shards will be, {shard} standing for the number."),
    ],
    shards: Annotated[int, typer.Option(help="How many, for good.")],
) -> None:
    """Publish an issuer's CRL in shards: a certificate is in serial modulo shards."""
    directory = read_settings().embedded_ca
    shard_crl(directory, issuer_key=issuer, url=url, shards=shards)
    typer.echo(f"The CRL of issuer {issuer} is published in {shards:,} shards.")


@app.command("show")
def show() -> None:
    """List the issuers with their CRLs."""
    issuers = summarise(read_settings().embedded_ca)
    for issuer in issuers:
        crl = f"CRL {issuer.crl_number}" if issuer.crl_number else "no CRL yet"
        typer.echo(f"{issuer.name}")
        typer.echo(f"  key      {issuer.key}")
        typer.echo(f"  revoked  {issuer.revoked:,}")
        if issuer.shards:
            crl += f" in {issuer.shards:,} shards"
        typer.echo(f"  CRL      {crl}, {issuer.crl_file}")
    if not issuers:
        typer.echo("The embedded CA has no issuers. Next: tocsin ca create --name NAME")


def _read(file: Path, field: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
        raise BadInput(message, file=str(file), field=field) from error
