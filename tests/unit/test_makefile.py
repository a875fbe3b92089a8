"""The Makefile's .venv: made where there is none, left alone where it works, made anew where it does not."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
PYTHON = Path(".venv") / "bin" / "python"
ANEW = ".venv does not work here (half made, moved or damaged): making it anew"


def make(folder: Path, *options: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTHON"))}
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}", *options, str(PYTHON)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose .venv was an empty folder until make came, and works since."""
    folder = tmp_path_factory.mktemp("clone") / "a clone"
    (folder / ".venv").mkdir(parents=True)
    for name in (
        "Makefile",
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-install.lock",
        "pyproject.toml",
    ):
        shutil.copy(ROOT / name, folder)
    assert ANEW in make(folder)
    return folder


def test_what_was_made_works_and_is_left_alone(clone: Path) -> None:
    subprocess.run([clone / ".venv" / "bin" / "pip", "--version"], check=True)
    assert "is up to date" in make(clone, "-n")


def test_bytecode_is_kept_even_where_the_environment_forbids_it(clone: Path) -> None:
    done = subprocess.run(
        ["make", "--eval", 'asked: ; @$(BIN)/python -c "import sys; print(sys.dont_write_bytecode)"', "asked"],
        cwd=clone,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "False"


def a_wheel(folder: Path) -> str:
    """A package that only this folder has, and the line of a lock that names it."""
    path = folder / "tocsin_here-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tocsin_here.py", "")
        about = "tocsin_here-1.0.dist-info"
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: tocsin-here\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    return f"tocsin-here==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def test_where_only_pip_knows_the_packages_it_installs_them(clone: Path, tmp_path: Path) -> None:
    (clone / "here.lock").write_text(a_wheel(tmp_path))
    (clone / ".venv" / "bin" / "uv").symlink_to(UV)
    only_pip = {"PIP_FIND_LINKS": str(tmp_path), "PIP_NO_INDEX": "1", "UV_OFFLINE": "1"}
    subprocess.run(
        ["make", "--eval", "asked: ; @$(call by_lock,here.lock)", "asked"],
        cwd=clone, env=os.environ | only_pip, timeout=100, check=True,
    )  # fmt: skip
    assert "tocsin-here" in (clone / ".venv" / "uv.log").read_text(), "uv has said what it did not find"
    subprocess.run([clone / PYTHON, "-c", "import tocsin_here"], check=True)


def without_pip(venv: Path) -> None:
    for package in venv.glob("lib/*/site-packages/pip*"):
        shutil.rmtree(package)


def with_a_stub(venv: Path) -> None:
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").write_text("#!/bin/sh\nexit 3\n")
    (venv / "bin" / "python").chmod(0o755)


def half_made(venv: Path) -> None:
    shutil.rmtree(venv / "bin")


@pytest.mark.parametrize("damage", [without_pip, with_a_stub, half_made])
def test_what_does_not_work_is_made_anew(clone: Path, damage: Callable[[Path], None]) -> None:
    kept = clone / "kept"
    (clone / ".venv").rename(kept)
    try:
        shutil.copytree(kept, clone / ".venv", symlinks=True)
        assert "is up to date" in make(clone, "-n")
        damage(clone / ".venv")
        assert ANEW in make(clone, "-n")
    finally:
        shutil.rmtree(clone / ".venv")
        kept.rename(clone / ".venv")


def test_a_clone_that_was_moved_gets_another(clone: Path) -> None:
    moved = clone.with_name("moved")
    shutil.copytree(clone, moved, symlinks=True)
    assert ANEW in make(moved, "-n")


def test_where_there_is_none_one_is_made(clone: Path) -> None:
    fresh = clone.with_name("fresh")
    shutil.copytree(clone, fresh, ignore=shutil.ignore_patterns(".venv"))
    said = make(fresh, "-n")
    assert "-m venv .venv" in said
    assert not (fresh / ".venv").exists()
