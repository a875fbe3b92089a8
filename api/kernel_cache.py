"""Numba's cache of compiled kernels, kept true.

Numba notices a change in the file of a kernel, not in those whose kernels and constants it compiled into it: after an
update an old kernel would go on with the old code of another. So beside the cache of each module stands a digest of
its source and of all that it imports of ours, and where that has changed the module's kernels are forgotten.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import blake2b
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("connectors", "flows")
CACHES = ("nbi", "nbc")


def forget_stale(root: Path = ROOT) -> list[str]:
    """Remove the compiled kernels of modules that do not stand as they were compiled; gives the names of these."""
    digest_of = _digests(root)
    stale = []
    for module in _modules(root):
        compiled, digest = _compiled(module), digest_of(module)
        if _noted(module) == digest:
            continue
        if compiled:
            stale.append(module.relative_to(root).as_posix())
        for file in compiled:
            file.unlink(missing_ok=True)
        _note(module).parent.mkdir(exist_ok=True)
        _note(module).write_text(digest)
    return stale


def _digests(root: Path) -> Callable[[Path], str]:
    @cache
    def read(module: Path) -> tuple[bytes, list[Path]]:
        source = module.read_bytes()
        return _digest(source), list(_imports(root, source))

    def digest_of(module: Path) -> str:
        reached, todo = {module}, [module]
        while todo:  # not one inside the other: modules may import each other
            new = {one for one in read(todo.pop())[1] if one not in reached}
            reached |= new
            todo += new
        others = sorted(read(one)[0] for one in reached if one != module)
        return _digest(b"".join([read(module)[0], *others])).hex()

    return digest_of


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def _imports(root: Path, source: bytes) -> Iterator[Path]:
    """Modules of ours that are imported anywhere in it."""
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            path = root.joinpath(*name.split(".")).with_suffix(".py")
            if name.split(".")[0] in PACKAGES and path.is_file():
                yield path


def _modules(root: Path) -> list[Path]:
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def _compiled(module: Path) -> list[Path]:
    """Files that numba keeps: ``MODULE.FUNCTION-LINE.pyXYZ.nbi`` and the like."""
    return [file for end in CACHES for file in (module.parent / "__pycache__").glob(f"{module.stem}.*.{end}")]


def _note(module: Path) -> Path:
    return module.parent / "__pycache__" / f"{module.stem}.kernels"


def _noted(module: Path) -> str:
    try:
        return _note(module).read_text()
    except FileNotFoundError:
        return ""
