"""The wheel holds the four packages and works elsewhere, decoys or not."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", out, ROOT],
        check=True,
        capture_output=True,
    )
    (file,) = out.glob("*.whl")
    return file


def test_wheel_holds_four_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "flows",
        "models",
        "templates",
        "tocsin",
    }
    for needed in (
        "templates/email/en/initial/body.html",
        "tocsin/policy/packs/tls-br-2.3.toml",
        "tocsin/policy/ladders/five-days.toml",
        "tocsin/store/migrations/env.py",
        "tocsin/py.typed",
    ):
        assert needed in names


def test_wheel_works_from_a_folder_with_a_decoy(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "venv"
    venv.create(home, with_pip=False)
    (site,) = (home / "lib").glob("python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    # The libraries of this environment, without its checkout.
    libraries = next(p for p in sys.path if p.endswith("site-packages"))
    (site / "libraries.pth").write_text(libraries + "\n")
    decoy = tmp_path / "elsewhere" / "models"
    decoy.mkdir(parents=True)
    (decoy / "__init__.py").write_text("raise RuntimeError('decoy')")
    script = (
        "from tocsin.mail.checks import check_templates\n"
        "from tocsin.mail.render import TemplateSet\n"
        "import flows.cycle, models.terms, tocsin.cli.app as app\n"
        "assert not check_templates(TemplateSet.from_files())\n"
        "print(models.terms.__file__)\n"
    )

    result = subprocess.run(
        [home / "bin" / "python", "-P", "-c", script],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert Path(result.stdout.strip()).is_relative_to(site)
