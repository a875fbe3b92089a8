from __future__ import annotations

from pathlib import Path

import pytest

from api.kernel_cache import forget_stale

SOURCES = {
    "connectors/codec/varint.py": "WIDTH = 7\n",
    "connectors/codec/walk.py": "from connectors.codec.varint import WIDTH\n",
    "flows/decode.py": "def decode():\n    from connectors.codec import walk\n",
    "flows/routes.py": "import math\nimport flows.slab\n",
    "flows/slab.py": "import flows.routes  # and the other way round\n",
}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, source in SOURCES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    forget_stale(tmp_path)
    for name in SOURCES:
        compile_(tmp_path / name)
    return tmp_path


def compile_(module: Path) -> None:
    """What numba leaves behind."""
    for end in ("nbi", "1.nbc"):
        (module.parent / "__pycache__" / f"{module.stem}.kernel-3.py311.{end}").write_bytes(b"")


def compiled(tree: Path) -> set[str]:
    return {name for name in SOURCES if list((tree / name).parent.glob(f"__pycache__/{Path(name).stem}.kernel-*"))}


def test_what_has_not_changed_is_kept(tree: Path) -> None:
    assert forget_stale(tree) == []
    assert compiled(tree) == set(SOURCES)


def test_what_imports_a_change_is_forgotten_once(tree: Path) -> None:
    (tree / "connectors/codec/varint.py").write_text("WIDTH = 8\n")
    stale = ["connectors/codec/varint.py", "connectors/codec/walk.py", "flows/decode.py"]
    assert forget_stale(tree) == stale
    assert compiled(tree) == set(SOURCES) - set(stale)
    for name in stale:
        compile_(tree / name)
    assert forget_stale(tree) == []
    assert compiled(tree) == set(SOURCES)


def test_what_was_compiled_before_notes_were_taken_is_forgotten(tree: Path) -> None:
    (tree / "flows/__pycache__/routes.kernels").unlink()
    assert forget_stale(tree) == ["flows/routes.py"]
