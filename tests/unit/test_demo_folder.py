from pathlib import Path

import pytest

from models.terms import IncidentId
from tocsin.demo import record
from tocsin.demo.folder import Folder, Progress
from tocsin.errors import BadInput, Refused

HALF_WAY = Progress(
    now=record.DEADLINE,
    incident=IncidentId("one"),
    wall_seconds=1.5,
    prefect_seconds=0.5,
)


def test_progress_is_read_back_when_it_was_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "demo")
    folder.open()

    folder.keep(HALF_WAY)

    assert folder.progress() == HALF_WAY


def test_a_killed_run_goes_on_when_its_directory_is_opened_again(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path / "demo")
    folder.open()
    folder.keep(HALF_WAY)
    (folder.data / "tocsin.sqlite").write_text("rows", "utf-8")

    Folder(tmp_path / "demo").open()

    assert folder.progress() == HALF_WAY
    assert (folder.data / "tocsin.sqlite").exists()


def test_a_finished_run_is_replaced_when_its_directory_is_opened_again(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path / "demo")
    folder.open()
    folder.keep(Progress(is_finished=True))
    (folder.data / "tocsin.sqlite").write_text("rows", "utf-8")

    folder.open()

    assert folder.progress() == Progress()
    assert not (folder.data / "tocsin.sqlite").exists()


def test_somebody_elses_files_are_left_alone_when_the_directory_is_not_ours(
    tmp_path: Path,
) -> None:
    (tmp_path / "thesis.txt").write_text("all of it", "utf-8")

    with pytest.raises(BadInput):
        Folder(tmp_path).open()

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_empty_directory_is_taken_when_only_our_lock_lies_in_it(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path)

    with folder.held("demo"):
        folder.open()

    assert folder.progress() == Progress()


def test_a_second_run_is_refused_when_one_holds_the_directory(tmp_path: Path) -> None:
    with Folder(tmp_path).held("demo"), pytest.raises(Refused):
        Folder(tmp_path).held("demo").__enter__()

    with Folder(tmp_path).held("demo"):
        pass
