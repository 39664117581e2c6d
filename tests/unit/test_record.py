from datetime import timedelta

from tocsin.demo import record


def test_the_founding_case_keeps_the_five_day_deadline_when_read_from_the_record() -> (
    None
):
    assert timedelta(days=5) == record.DEADLINE - record.MADE_AWARE_AT
    assert record.MADE_AWARE_AT.utcoffset() == timedelta(hours=8)
    assert record.MADE_AWARE_AT < record.LAUNCHED_AT < record.DEADLINE


def test_revoked_certificates_only_grow_when_read_in_time() -> None:
    instants = [at for at, _ in record.REVOKED_SERIES]
    counts = [count for _, count in record.REVOKED_SERIES]

    assert instants == sorted(instants)
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == record.CERTIFICATES


def test_i3_the_figures_of_the_record_sum_when_each_status_is_taken_apart() -> None:
    assert record.CERTIFICATES + record.PRECERTIFICATES == record.LOG_ENTRIES == 1_176
    assert (
        record.CSRS_BY_MAY_3 + record.STILL_WAITING_ON_MAY_3 + record.NO_LONGER_REQUIRED
        == record.CERTIFICATES
        == 1_111
    )


def test_i3_the_sectors_sum_when_taken_together() -> None:
    assert sum(one.certificates for one in record.SECTORS) == record.CERTIFICATES
    assert sum(one.subscribers for one in record.SECTORS) == record.SUBSCRIBERS == 240
    assert all(one.subscribers <= one.certificates for one in record.SECTORS)
