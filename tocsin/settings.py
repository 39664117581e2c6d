"""What an operator may set, read once at the edge; without it every module would guess."""

from datetime import timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from models.terms import InDoubt


class Tls(StrEnum):
    """How the connection to the relay is protected."""

    NONE = "none"  # only for a relay on the same machine
    OPPORTUNISTIC = "opportunistic"  # where the relay offers it
    STARTTLS = "starttls"  # required, and verified
    IMPLICIT = "implicit"  # from the first byte, and verified


class Settings(BaseSettings):
    """
    Everything that can be set; each field is the variable TOCSIN_<NAME>.

    Secrets are files, so that they stand in no process listing.
    """

    model_config = SettingsConfigDict(env_prefix="TOCSIN_", frozen=True, extra="forbid")

    data_directory: Path = Field(
        default=Path("tocsin-data"),
        description="Where embedded defaults keep their files. Created when absent.",
    )
    database_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL. Absent: SQLite in the data directory.",
    )
    zone: str = Field(
        default="UTC", description="IANA zone of the CA's office, for its own people."
    )

    ca_name: str = Field(
        default="Example CA", description="How the CA signs its mails and pages."
    )
    ca_phone: str = Field(
        default="+1 555 0100", description="Whom a subscriber calls, day and night."
    )
    ca_site: str = Field(
        default="ca.example",
        description="The CA's own site, written out for readers to check a mail.",
    )
    ca_directory: Path | None = Field(
        default=None, description="The embedded CA. Absent: ca/ in the data directory."
    )

    ca_backend: str = Field(
        default="embedded",
        description="The kind of CA; `tocsin backend list` shows the kinds.",
    )
    ca_options_file: Path | None = Field(
        default=None,
        description="TOML: where the CA is, its issuers, rates and limits. The embedded "
        "CA needs none.",
    )

    smtp_host: str | None = Field(
        default=None, description="The relay. Absent: the embedded catch-all relay."
    )
    smtp_port: int = Field(default=8725, description="The relay's port.")
    smtp_tls: Tls = Field(
        default=Tls.NONE,
        description="`none`; `opportunistic`: STARTTLS where the relay offers it; "
        "`starttls` and `implicit`: required, and always verified.",
    )
    smtp_verify: bool = Field(
        default=True,
        description="Whether an opportunistic connection is verified, too; if it is "
        "and the certificate is not trusted, nothing is sent.",
    )
    smtp_ca_file: Path | None = Field(
        default=None,
        description="Roots that the relay's certificate may come from, PEM. Absent: "
        "the system's.",
    )
    smtp_username: str | None = Field(
        default=None,
        description="Absent: no login. Never said in clear unless `smtp_tls` is `none`.",
    )
    smtp_password_file: Path | None = Field(
        default=None, description="File with the relay's password."
    )
    smtp_hello: str | None = Field(
        default=None,
        description="Host name we introduce ourselves with. Absent: the bounce domain.",
    )
    smtp_connections: int = Field(
        default=4, ge=1, le=50, description="Connections to the relay at once."
    )
    mail_in_doubt: InDoubt = Field(
        default=InDoubt.RESEND,
        description="What follows when nobody knows whether a mail has left: resend "
        "(under the same Message-ID, counted) or hold (until an officer has decided).",
    )
    mails_per_address: int = Field(
        default=12,
        ge=0,
        description="Mails to one address within 24 hours, at most, over all incidents; "
        "final notices go beyond that. 0: as many as there are.",
    )
    pause_from: int = Field(
        default=20,
        ge=1,
        description="Attempts that are needed before a share of refusals pauses "
        "sending.",
    )
    pause_share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of attempts refused for good, or refused by the relay to "
        "everybody, from which sending pauses.",
    )
    pause_within_minutes: int = Field(
        default=60,
        ge=1,
        description="How far back attempts count for that, minutes.",
    )
    probe_every_minutes: int = Field(
        default=1,
        ge=1,
        description="How often one mail is tried while sending pauses, minutes.",
    )
    alarm_after_minutes: int = Field(
        default=10,
        ge=0,
        description="How long the relay may be out of reach until people are told, "
        "minutes.",
    )
    smtp_per_connection: int = Field(
        default=100,
        ge=1,
        description="Messages on one connection; then it is renewed.",
    )
    smtp_per_second: float | None = Field(
        default=None,
        gt=0,
        description="Messages a second at most. Absent: as many as the relay takes.",
    )
    smtp_domain_per_second: float | None = Field(
        default=None,
        gt=0,
        description="Messages a second at most to one recipient domain. Absent: as "
        "many as the relay takes.",
    )
    smtp_timeout_seconds: float = Field(
        default=60,
        gt=0,
        description="How long to wait for an answer of the relay, seconds.",
    )
    mail_from: str = Field(
        default="certificates@ca.example", description="Sender address of notices."
    )
    mail_reply_to: str | None = Field(
        default=None,
        description="Address that people's answers go to. Absent: the sender's.",
    )
    dkim_key_file: Path | None = Field(
        default=None,
        description="Private key that signs notices, PEM: RSA of 2048 bits or more, or "
        "Ed25519. Absent: the relay signs, or nobody.",
    )
    dkim_selector: str = Field(
        default="tocsin",
        description="Name of the key: it is published at `selector._domainkey.domain`.",
    )
    dkim_domain: str | None = Field(
        default=None,
        description="Domain that signs. Absent: the domain of the sender address.",
    )
    bounce_domain: str = Field(
        default="bounces.ca.example",
        description="Domain of return paths; bounces to it land in the maildir.",
    )
    bounce_maildir: Path | None = Field(
        default=None,
        description="Maildir with returned mail. Absent: the embedded relay's.",
    )
    imap_host: str | None = Field(
        default=None,
        description="IMAP server of the mailbox that answers and returned mail come to. "
        "Absent: the maildir only.",
    )
    imap_port: int = Field(default=993, description="Its port.")
    imap_tls: Tls = Field(
        default=Tls.IMPLICIT, description="implicit, starttls, or none on this machine."
    )
    imap_username: str = Field(default="", description="Whose mailbox it is.")
    imap_password_file: Path | None = Field(
        default=None, description="File with the password of the mailbox."
    )
    imap_folder: str = Field(
        default="INBOX", description="Folder that is read; nothing in it is deleted."
    )
    max_mail_bytes: int = Field(
        default=25_000_000,
        ge=10_000,
        description="Largest message read from a pipe or an IMAP mailbox; of a larger "
        "one the beginning is read, bytes.",
    )
    template_directory: Path | None = Field(
        default=None, description="The CA's own templates; they come before ours."
    )

    ladder_file: Path | None = Field(
        default=None,
        description="TOML. Absent: the shipped ladder that fits the deadline.",
    )
    rule_pack_file: Path | None = Field(
        default=None, description="TOML. Absent: the shipped rule pack."
    )
    grace_minutes: int = Field(
        default=60,
        ge=0,
        description="Minutes in which a reply that brings revocation forward can "
        "be undone.",
    )

    portal_host: str = Field(default="127.0.0.1", description="Address to listen on.")
    portal_port: int = Field(default=8780, description="Port to listen on.")
    portal_url: str | None = Field(
        default=None,
        description="Where subscribers reach the portal. Absent: host and port.",
    )
    max_upload_bytes: int = Field(
        default=1_000_000, description="Largest upload a subscriber can make, bytes."
    )
    portal_requests_per_minute: int = Field(
        default=240,
        ge=1,
        description="Requests a minute through one link; five times as many from one "
        "address.",
    )
    key_blocklist_directory: Path | None = Field(
        default=None,
        description="Keys known to be compromised, as `badkeys --update-bl` keeps "
        "them; CSRs with one are refused. Absent: no list.",
    )
    wire_check: bool = Field(
        default=True,
        description="Whether a subscriber can have us look which certificate a host "
        "presents now; the portal then connects to the hosts in affected certificates.",
    )
    wire_own_networks: str = Field(
        default="",
        description="Networks of your own that are never looked at, as in `192.0.2.0/24,"
        " 2001:db8::/32`; those that are not public are not looked at anyway.",
    )
    wire_allowed_networks: str = Field(
        default="",
        description="Networks that are looked at although they are not public, as in "
        "`10.20.0.0/16`.",
    )
    wire_port: int = Field(
        default=443, ge=1, le=65_535, description="Port at which hosts are looked at."
    )
    wire_seconds: float = Field(
        default=4,
        gt=0,
        le=20,
        description="How long a look may take altogether, seconds.",
    )
    wire_checks_per_hour: int = Field(
        default=60,
        ge=0,
        description="Hosts of one subscriber that are looked at within an hour, at most.",
    )
    link_secret_file: Path | None = Field(
        default=None,
        description="Secrets that sign links, one a line, newest first. "
        "Absent: made in the data directory.",
    )

    acme_upstream: str | None = Field(
        default=None,
        description="Address of the CA's ACME directory, for `tocsin acme-front`.",
    )
    acme_upstream_ca_file: Path | None = Field(
        default=None,
        description="PEM to verify the ACME server with. Absent: the system's roots.",
    )
    acme_front_host: str = Field(
        default="127.0.0.1", description="Address on which the ACME front listens."
    )
    acme_front_port: int = Field(default=8790, description="The ACME front's port.")
    acme_front_certificate_file: Path | None = Field(
        default=None,
        description="The ACME front's certificate, PEM. Absent: plain HTTP, for a TLS "
        "server before it.",
    )
    acme_retry_after_seconds: int = Field(
        default=10_800,
        ge=1,
        le=21_600,
        description="How long ACME clients wait before they ask again, seconds; an "
        "eighth of the shortest deadline.",
    )
    acme_front_key_file: Path | None = Field(
        default=None, description="The key to it, PEM."
    )

    officers_file: Path | None = Field(
        default=None,
        description="CSV of who may come in at the officers' desk: name, email, role "
        "(officer or manager). Absent: officers.csv in the data directory.",
    )
    officer_link_minutes: int = Field(
        default=15, ge=1, le=120, description="How long a sign-in link works, minutes."
    )
    officer_session_minutes: int = Field(
        default=120,
        ge=5,
        le=720,
        description="How long somebody stays signed in at the officers' desk, minutes.",
    )
    officer_upload_bytes: int = Field(
        default=500_000_000,
        description="Largest upload an officer can make, in all its files, bytes.",
    )
    launch_needs_second_officer: bool = Field(
        default=False,
        description="Whether a launch takes a second officer. It can then only be done "
        "at the officers' desk. Nothing after the launch ever waits for anybody.",
    )

    prefect_host: str = Field(
        default="127.0.0.1", description="Where `tocsin up` lets Prefect listen."
    )
    prefect_port: int = Field(default=4200, description="Prefect's port.")
    guard_every_seconds: int = Field(
        default=60, ge=1, description="How often the guard looks, seconds."
    )
    guard_grace_seconds: int = Field(
        default=60,
        ge=0,
        description="How long after its time the guard leaves a revocation to the "
        "engine, seconds.",
    )
    guard_heartbeat_file: Path | None = Field(
        default=None, description="Absent: guard.json in the data directory."
    )
    guard_url_file: Path | None = Field(
        default=None,
        description="File with a URL that the guard fetches while everything due was "
        "revoked and published. Absent: none is.",
    )

    alarm_urls_file: Path | None = Field(
        default=None,
        description="File with Apprise URLs, one a line: what reaches the CA's own "
        "people beside mail. Absent: mail only.",
    )
    watchdog_every_seconds: int = Field(
        default=60, ge=1, description="How often the watchdog looks, seconds."
    )
    watchdog_grace_seconds: int = Field(
        default=600,
        ge=0,
        description="How long after its time a due step may be taken before the "
        "watchdog speaks, seconds.",
    )
    watchdog_heartbeat_file: Path | None = Field(
        default=None, description="Absent: watchdog.json in the data directory."
    )
    watchdog_url_file: Path | None = Field(
        default=None,
        description="File with a URL that is fetched while nothing due was missed. "
        "Absent: none is.",
    )

    @property
    def database(self) -> str:
        """The database's URL, with the default filled in."""
        if self.database_url:
            return self.database_url
        return f"sqlite:///{self.data_directory.resolve() / 'tocsin.sqlite'}"

    @property
    def embedded_ca(self) -> Path:
        """Where the embedded CA lives."""
        return self.ca_directory or self.data_directory / "ca"

    @property
    def mailbox(self) -> Path:
        """Where the embedded relay keeps mail."""
        return self.data_directory / "mail"

    @property
    def bounces(self) -> Path:
        """The maildir that returned mail is read from."""
        return self.bounce_maildir or self.mailbox / "bounces"

    @property
    def journals(self) -> Path:
        """Where sendings note what is on its way; on a disk of this machine."""
        return self.data_directory / "sending"

    @property
    def relay(self) -> tuple[str, int]:
        """The relay's host and port."""
        return self.smtp_host or "127.0.0.1", self.smtp_port

    @property
    def uses_embedded_relay(self) -> bool:
        """Whether mail goes nowhere but to the relay that comes with us."""
        return self.smtp_host is None

    @property
    def smtp_password(self) -> SecretStr | None:
        """The relay's password, read from its file."""
        if self.smtp_password_file is None:
            return None
        return SecretStr(self.smtp_password_file.read_text("utf-8").strip())

    @property
    def imap_password(self) -> SecretStr:
        """The mailbox's password, read from its file; empty without one."""
        if self.imap_password_file is None:
            return SecretStr("")
        return SecretStr(self.imap_password_file.read_text("utf-8").strip())

    @property
    def public_portal(self) -> str:
        """The portal's address as subscribers see it, without a trailing slash."""
        url = self.portal_url or f"http://{self.portal_host}:{self.portal_port}"
        return url.rstrip("/")

    @property
    def prefect_url(self) -> str:
        """The Prefect UI's address."""
        return f"http://{self.prefect_host}:{self.prefect_port}"

    @property
    def link_secrets(self) -> Path:
        """The file with the secrets that sign links."""
        return self.link_secret_file or self.data_directory / "link-secrets"

    @property
    def officers(self) -> Path:
        """The list of those who may come in at the officers' desk."""
        return self.officers_file or self.data_directory / "officers.csv"

    @property
    def heartbeat(self) -> Path:
        """The file that the guard touches while all is well."""
        return self.guard_heartbeat_file or self.data_directory / "guard.json"

    @property
    def guard_url(self) -> str | None:
        """The URL that the guard fetches while all is well, read from its file."""
        return _secret_of(self.guard_url_file)

    @property
    def watchdog_heartbeat(self) -> Path:
        """The file that is written while no due step was missed."""
        return self.watchdog_heartbeat_file or self.data_directory / "watchdog.json"

    @property
    def watchdog_url(self) -> str | None:
        """The URL that is fetched while no due step was missed, read from its file."""
        return _secret_of(self.watchdog_url_file)

    @property
    def grace_within(self) -> timedelta:
        """How long a reply can be undone."""
        return timedelta(minutes=self.grace_minutes)


def _secret_of(file: Path | None) -> str | None:
    return None if file is None else file.read_text("utf-8").strip()


def read_settings() -> Settings:
    """Read the environment, and make the data directory."""
    settings = Settings()
    settings.data_directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return settings
