from tocsin.demo.webpage import parse_page

_PAGE = """
<!doctype html><title>Hand in &amp; check</title>
<a href="/s/abc/csr">Hand in CSRs</a>
<form method="post" action="/s/abc/csr" enctype="multipart/form-data">
  <input type="hidden" name="nonce" value="n1">
  <input type="checkbox" name="certificate" value="1" checked>
  <input type="checkbox" name="certificate" value="2">
  <textarea name="csr">
-----BEGIN</textarea>
  <select name="zone"><option value="a"><option value="b" selected></select>
  <input type="file" name="upload"><input name="gone" disabled value="x">
  <button name="go" value="check">Check 3 CSRs</button>
</form>
"""


def test_a_form_sends_what_a_browser_would_when_nobody_touched_it() -> None:
    page = parse_page(_PAGE)

    (form,) = page.forms
    assert page.title == "Hand in & check"
    assert page.links == ("/s/abc/csr",)
    assert (form.action, form.method) == ("/s/abc/csr", "post")
    assert form.untouched() == [
        ("nonce", "n1"),
        ("certificate", "1"),
        ("csr", "-----BEGIN"),
        ("zone", "b"),
    ]


def test_choices_can_be_listed_when_a_form_offers_boxes() -> None:
    (form,) = parse_page(_PAGE).forms

    assert form.names("checkbox") == ["certificate"]
    assert form.values("certificate") == ["1", "2"]
