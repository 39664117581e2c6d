"""What leaves on the wire: a message can neither end early nor be changed on its way."""

import re
from base64 import b64decode, encodebytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tocsin.mail.encoding import BodyForm, base64_lines, body_of
from tocsin.mail.wire import in_lines, stuffed

# Whatever could look like the end of a line, of a part or of a message.
HARD = st.lists(
    st.sampled_from(
        [
            "\n",
            ".",
            "\r",
            "From ",
            "From",
            " ",
            "--=_tocsin_",
            "--",
            "é",
            "x" * 400,
            "a",
        ]
    ),
    max_size=8,
).map("".join)
LINES = st.lists(st.sampled_from([b"", b".", b"..", b"a.", b".a", b"word"]), max_size=8)


def unstuffed(sent: bytes) -> bytes:
    """Return what a server takes it for (RFC 5321 4.5.2)."""
    content, end, rest = (b"\r\n" + sent).partition(b"\r\n.\r\n")
    assert end
    assert not rest
    return (content + b"\r\n").replace(b"\r\n.", b"\r\n")[2:]


@given(lines=LINES)
@example(lines=[b"."])
def test_content_in_lines_arrives_as_it_is(lines: list[bytes]) -> None:
    content = b"Subject: x\r\n\r\n" + b"".join(line + b"\r\n" for line in lines)

    assert in_lines(content) == stuffed(content)
    assert unstuffed(in_lines(content)) == content


@given(text=HARD)
def test_no_content_ends_early_whatever_its_lines_end_with(text: str) -> None:
    sent = stuffed(text.encode())

    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", sent)
    assert unstuffed(sent).endswith(b"\r\n")


@given(fixed=st.lists(HARD, min_size=1, max_size=4), data=st.data())
def test_body_from_a_form_is_written_as_the_text_itself_would_be(
    fixed: list[str], data: st.DataObject
) -> None:
    values = [data.draw(HARD.filter(bool)) for _ in fixed[1:]]
    text = fixed[0] + "".join(
        value + after for value, after in zip(values, fixed[1:], strict=True)
    )

    assert BodyForm(fixed).filled(values, text) == body_of(text)


@pytest.mark.parametrize(
    ("fixed", "values"),
    [
        (["Dear ", ",\n\n", " begins.\n"], ["Chan", "From"]),
        (["a\n", " b"], ["From"]),
        (["a\nFr", " b"], ["om"]),
        (["a\n--=", "tocsin_0--"], ["_"]),
        (["x" * 900, "y\n", ""], ["z" * 90, "z" * 20]),
        (["x" * 900, ""], ["z" * 99]),
        (["To ", ""], ["Chan\nFrom here"]),
        (["To ", ""], ["陳"]),
        (["From ", " on"], ["now"]),
        (["To ", " on"], ["now"]),
    ],
)
def test_body_from_a_form_is_the_same_where_a_value_decides(
    fixed: list[str], values: list[str]
) -> None:
    text = "".join(
        piece for pair in zip(fixed, [*values, ""], strict=True) for piece in pair
    )

    assert BodyForm(fixed).filled(values, text) == body_of(text)


@given(content=st.binary(max_size=400) | st.binary(min_size=5_700, max_size=5_900))
def test_base64_is_what_the_standard_library_writes(content: bytes) -> None:
    written = base64_lines(content)

    assert b64decode(written) == content
    assert written == (encodebytes(content).replace(b"\n", b"\r\n") or b"\r\n")
