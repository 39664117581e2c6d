"""What must not be logged is not, even when somebody tries."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from tocsin.log import redact


def test_addresses_and_links_are_taken_out() -> None:
    line = "to <chan@clinic.example>: http://ca.example/s/eyJh.b-c_d~e failed"

    assert redact(line) == "to <[address]>: http://ca.example/s/[link] failed"


def test_ways_in_to_the_desk_are_taken_out() -> None:
    line = "GET https://ca.example/desk/in/WyIi.ctSY-c_x failed"

    assert redact(line) == "GET https://ca.example/desk/in/[link] failed"


def test_ways_to_escalations_and_whatever_else_is_signed_are_taken_out() -> None:
    link = "WyJ0ZXN0LWluY2lkZW50IiwwLDMs.cQx3-tZ_k9vYJmW5oHf2aTg8bNc"
    line = f"GET /e/{link} Authorization: Bearer {link} nonce={link[:30]}"

    assert redact(line) == ("GET /e/[link] Authorization: Bearer [link] nonce=[link]")


def test_what_a_traceback_says_is_redacted_as_well() -> None:
    script = (
        "import logging\n"
        "from tocsin.log import configure_logging\n"
        "configure_logging()\n"
        "try:\n    raise ValueError('no mail to a@b.example by /s/abc.def')\n"
        "except ValueError:\n    logging.getLogger('uvicorn.error').exception('Fault')\n"
    )

    said = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True
    ).stderr

    assert "ValueError: no mail to [address] by /s/[link]" in said


@given(st.emails())
def test_no_address_survives(address: str) -> None:
    assert (
        "@" not in redact(f"mail for {address} bounced")
        or '"' in address
        or "'" in address
    )


def test_libraries_and_our_own_lines_are_redacted_when_a_process_logs() -> None:
    script = (
        "import logging, structlog\n"
        "from tocsin.log import configure_logging\n"
        "configure_logging()\n"
        "logging.getLogger('aiosmtplib').warning('refused %s', 'a@b.example')\n"
        "structlog.get_logger().info('Sent', to='a@b.example', path='/s/abc.def')\n"
    )

    result = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True
    )

    assert "a@b.example" not in result.stderr
    assert "abc.def" not in result.stderr
    assert result.stderr.count("[address]") == 2
