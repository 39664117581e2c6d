"""Whoever opens a link reads it in their language, and can choose another; nothing changes."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from factories import (
    insert_certificates,
    insert_contact,
    insert_incident,
    insert_revocations,
    insert_subscriber,
)
from portal_server import LINKS, claims_for, make_csr, nonce_in, portal, visiting
from sqlalchemy import Engine, update

from models.base import table
from models.subscriber import Subscriber
from tocsin.clock import SteppedClock
from tocsin.store.session import writing

pytestmark = pytest.mark.server

CHINESE = '<html lang="zh-Hant" dir="ltr">'
ENGLISH = '<html lang="en" dir="ltr">'


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A subscriber's page whose language in the directory is Chinese."""

    http: httpx.Client
    base: str
    certificate: int


@pytest.fixture
def site(sqlite_engine: Engine, clock: SteppedClock) -> Iterator[Site]:
    with writing(sqlite_engine) as connection:
        incident = insert_incident(connection)
        subscriber = insert_subscriber(connection, incident)
        connection.execute(update(table(Subscriber)).values(language="zh-HK"))
        contact = insert_contact(connection, incident, subscriber)
        certificates = insert_certificates(connection, incident, subscriber, 3)
        insert_revocations(connection, incident, certificates)
    token = LINKS.sign(claims_for(incident, subscriber, contact))
    # The cookie travels by HTTP here.
    app = portal(sqlite_engine, clock, public_url="http://certificates.ca.example")
    with visiting(app) as http:
        yield Site(http=http, base=f"/s/{token}", certificate=certificates[0])


def test_page_is_in_the_language_of_the_directory(site: Site) -> None:
    page = site.http.get(site.base, headers={"Accept-Language": "en"}).text

    assert CHINESE in page
    assert "你有3張證書將於" in page
    assert "2026年3月7日（星期六）11:00（香港" in page


def test_choice_on_the_page_lasts_on_every_page_of_every_link(site: Site) -> None:
    chosen = site.http.get(site.base, params={"lang": "en"})
    later = site.http.get(f"{site.base}/replaced").text

    assert ENGLISH in chosen.text
    assert "language=en" in chosen.headers["set-cookie"]
    assert "HttpOnly" in chosen.headers["set-cookie"]
    assert "Report what you have replaced" in later
    assert ENGLISH in later
    assert 'href="?lang=zh-Hant" lang="zh-Hant"' in later


def test_unknown_choice_is_ignored_and_not_kept(site: Site) -> None:
    answer = site.http.get(site.base, params={"lang": "../../etc"})

    assert CHINESE in answer.text
    assert "set-cookie" not in answer.headers


def test_dead_link_is_explained_in_the_language_of_the_browser(site: Site) -> None:
    chinese = site.http.get("/s/x", headers={"Accept-Language": "zh-TW, en;q=0.5"})
    other = site.http.get("/s/x", headers={"Accept-Language": "sw"})
    posted = site.http.post("/s/x/csr", headers={"Accept-Language": "zh-TW"})

    assert "此連結無效或已失效" in chinese.text
    assert "This link does not work" in other.text
    assert posted.text == chinese.text


def test_mistakes_and_findings_are_named_in_the_language_of_the_page(
    site: Site,
) -> None:
    nothing = site.http.post(f"{site.base}/acknowledge/check")
    strange = site.http.post(
        f"{site.base}/csr/check", data={"csr": make_csr("www.elsewhere.example")}
    )
    extra = site.http.post(
        f"{site.base}/csr/check",
        data={"csr": make_csr("host-1000.clinic.example", "new.clinic.example")},
    )

    assert "<title>錯誤：" in nothing.text
    assert "請說明由誰跟進。" in nothing.text
    assert "你貼上的文字：所申請的www.elsewhere.example並不在" in strange.text
    assert "所申請的new.clinic.example並非受影響證書所載的名稱" in extra.text


def test_act_in_chinese_goes_through_to_its_confirmation(site: Site) -> None:
    data = {"certificate": str(site.certificate)}
    check = site.http.post(f"{site.base}/replaced/check", data=data)
    done = site.http.post(
        f"{site.base}/replaced", data=data | {"nonce": nonce_in(check)}
    )
    page = site.http.get(done.headers["location"]).text

    assert "請先核對，然後報告1張證書已更換" in check.text
    assert "已報告1張證書已更換" in page
    assert "1小時後" in page


def test_explanation_for_acme_clients_is_read_in_the_browsers_language(
    site: Site,
) -> None:
    page = site.http.get(
        "/incident/test-incident", headers={"Accept-Language": "zh-HK"}
    ).text

    assert "為何你的證書須立即更換" in page
    assert "證書並非按照《基準要求》" in page
