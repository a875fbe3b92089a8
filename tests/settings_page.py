"""docs/settings.md, written from the Settings classes: ``python -m tests.settings_page`` prints it anew."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo

from connectors.settings import Settings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "settings.md"
HEAD = """# Settings

Every process reads its settings from the environment once, at its start, and checks them whole: a bad one ends the
process with a line that tells variable, value and what would be right. `tocsin run` checks the settings of all
processes, that its ports differ, and that address and folder can be used, before it starts any. This page is written
from the code: `python -m tests.settings_page`.

`make run` (`tocsin run`) hands its own environment on to every process that it starts, so setting a variable there is
enough.
"""


def settings_classes() -> list[type[Settings]]:
    """Every Settings class of the product, by module and name."""
    for package in ("connectors", "flows", "api"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if "Settings):" in path.read_text():
                importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    return sorted(below(Settings), key=lambda found: (found.__module__, found.__name__))


def below(base: type[Settings]) -> Iterator[type[Settings]]:
    for child in base.__subclasses__():
        if child.__module__.partition(".")[0] in {"connectors", "flows", "api"}:
            yield child
        yield from below(child)


def own_fields(settings: type[Settings]) -> dict[str, FieldInfo]:
    """Fields that the class adds to those of its parents."""
    inherited = {name for parent in settings.__bases__ for name in getattr(parent, "model_fields", {})}
    return {name: field for name, field in settings.model_fields.items() if name not in inherited}


def variable(settings: type[Settings], name: str) -> str:
    return f"{settings.model_config['env_prefix']}{name}".upper()


def default_of(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "" if value is None else f"`{value}`"


def rows(settings: type[Settings]) -> Iterator[str]:
    for name, field in own_fields(settings).items():
        yield f"| `{variable(settings, name)}` | {default_of(field)} | {field.description} |"


def page() -> str:
    parts = [HEAD]
    for settings in settings_classes():
        title = (settings.__doc__ or "").strip().splitlines()[0]
        table = "\n".join(["| variable | default | what |", "| --- | --- | --- |", *rows(settings)])
        parts.append(f"## {settings.__module__}\n\n{title}\n\n{table}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.write(page())
