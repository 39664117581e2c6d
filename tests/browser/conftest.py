"""A browser for each module, and axe-core for all of them."""

from collections.abc import Iterator

import pytest
from browsing import axe_core, chromium
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_core(tmp_path_factory.mktemp("axe"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a browser; not for longer: no event loop runs beside Playwright's."""
    with chromium() as started:
        yield started
