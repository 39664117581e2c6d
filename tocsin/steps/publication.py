"""Proves that what the CA revoked can be seen by everybody (I9)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine

from models.terms import CertificateId, IncidentId, Sighting
from tocsin.ca.backend import CaBackend, Publication
from tocsin.ca.proof import ProofOfIssuer, Wanted, prove
from tocsin.clock import Clock
from tocsin.errors import Unavailable
from tocsin.policy.revocation import DueProof, next_proof_at
from tocsin.steps.acts import append_acts
from tocsin.store import proofs
from tocsin.store.proofs import Evidence, IssuerToProve
from tocsin.store.session import reading, writing

log = structlog.get_logger()

# One reading of the CRL proves so many; the bound keeps memory constant.
_PROOFS_AT_ONCE = 10_000


@dataclass(slots=True, kw_only=True)
class Proven:
    """
    What reading the CA's publication showed.

    Args:
        published: Certificates seen in CRL and OCSP.
        unproven: Not seen yet; read again soon.
        wrong_reason: Of those seen, the ones with another reason than was asked for.

    """

    published: int = 0
    unproven: int = 0
    wrong_reason: int = 0


def prove_due(
    engine: Engine,
    backend: CaBackend,
    publication: Publication,
    clock: Clock,
    *,
    actor: str,
    grace: timedelta,
) -> Proven:
    """
    Have each issuer concerned publish, read it, and record what is visible (I9).

    Args:
        engine: The database.
        backend: The CA.
        publication: Reads what the CA publishes, as anybody outside would.
        clock: Tells now.
        actor: Who acts, for the record.
        grace: Only issuers with something that was revoked this long ago, and whose
            proof is due.

    """
    done = Proven()
    due_before = clock.now()
    with reading(engine) as connection:
        issuers = proofs.issuers_to_prove(
            connection, due_before=due_before, revoked_before=due_before - grace
        )
    for issuer in issuers:
        try:
            backend.publish(issuer.key)
            _prove_issuer(
                engine,
                backend,
                publication,
                clock,
                issuer=issuer,
                due_before=due_before,
                actor=actor,
                done=done,
            )
        except Unavailable as error:
            log.error(  # noqa: TRY400 - the sentence says it all
                "Publication could not be proven", issuer=issuer.key, why=str(error)
            )
            with writing(engine) as connection:
                proofs.look_again(
                    connection,
                    issuer_id=issuer.id,
                    due_before=due_before,
                    at=next_proof_at(
                        clock.now(), backend.capabilities.publication_delay
                    ),
                )
    return done


def _prove_issuer(
    engine: Engine,
    backend: CaBackend,
    publication: Publication,
    clock: Clock,
    *,
    issuer: IssuerToProve,
    due_before: datetime,
    actor: str,
    done: Proven,
) -> None:
    while wanted := _proofs_due(engine, issuer, due_before):
        now = clock.now()
        proof = prove(
            publication,
            issuer_key=issuer.key,
            wanted=[
                Wanted(
                    certificate_id=due.certificate_id,
                    serial=due.serial,
                    reason=due.reason,
                    crl_urls=due.crl_urls,
                    is_in_ocsp=due.sighting is Sighting.OCSP_ONLY,
                )
                for due in wanted
            ],
            now=now,
        )
        unseen = {
            Sighting.NOT_LISTED: proof.missing,
            Sighting.OCSP_ONLY: proof.ocsp_only,
            Sighting.CRL_ONLY: proof.ocsp_disagrees,
            Sighting.OTHER_CRL: proof.other_crl,
        }
        with writing(engine) as connection:
            proofs.look_again(
                connection,
                issuer_id=issuer.id,
                due_before=due_before,
                at=next_proof_at(now, backend.capabilities.publication_delay),
                unseen=unseen,
            )
            published = proofs.record_proof(
                connection, evidence=_evidence(issuer, proof)
            )
            append_acts(
                connection,
                now=now,
                actor=actor,
                action="revocations-published",
                lists=_published_lists(published, proof),
                crl_number=proof.crl_number,
                crl_sha256=proof.crl_sha256,
            )
        done.published += sum(len(ids) for ids in published.values())
        done.unproven += sum(len(ids) for ids in unseen.values())
        done.wrong_reason += len(proof.wrong_reason)
        _say_what_is_wrong(issuer, proof)


def _proofs_due(
    engine: Engine, issuer: IssuerToProve, due_before: datetime
) -> list[DueProof]:
    with reading(engine) as connection:
        return proofs.proofs_due(
            connection,
            issuer_id=issuer.id,
            due_before=due_before,
            limit=_PROOFS_AT_ONCE,
        )


def _evidence(issuer: IssuerToProve, proof: ProofOfIssuer) -> Evidence:
    return Evidence(
        issuer_id=issuer.id,
        read_at=proof.read_at,
        crl_number=proof.crl_number,
        crl_sha256=proof.crl_sha256,
        crl_this_update=proof.crl_this_update,
        crl_entries=proof.crl_entries,
        ocsp_produced_at=proof.ocsp_produced_at,
        ocsp_answers=proof.ocsp_answers,
        shown={
            found.certificate_id: (found.reason, found.revoked_at)
            for found in proof.published
        },
    )


def _published_lists(
    published: dict[IncidentId, list[CertificateId]], proof: ProofOfIssuer
) -> Iterator[tuple[IncidentId, str, CertificateId]]:
    wrong = frozenset(proof.wrong_reason)
    for incident, certificates in published.items():
        for certificate in certificates:
            yield incident, "certificates", certificate
            if certificate in wrong:
                yield incident, "wrong_reason", certificate


def _say_what_is_wrong(issuer: IssuerToProve, proof: ProofOfIssuer) -> None:
    if proof.wrong_reason:
        log.error(
            "Published with another reason than was asked for",
            issuer=issuer.key,
            certificates=len(proof.wrong_reason),
        )
    if proof.missing or proof.other_crl or proof.ocsp_only or proof.ocsp_disagrees:
        log.warning(
            "Revoked and not visible yet",
            issuer=issuer.key,
            not_listed=len(proof.missing),
            in_ocsp_only=len(proof.ocsp_only),
            in_crl_only=len(proof.ocsp_disagrees),
            in_another_crl=len(proof.other_crl),
        )
    if proof.unreadable:
        log.error(
            "CRLs that certificates name could not be read",
            issuer=issuer.key,
            crls=len(proof.unreadable),
            why=proof.unreadable[0],
        )
