"""``/api/detector-templates``: detectors ready to be used, narrowed to what the caller names."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator, Field

from api.names import among
from api.problems import ApiError, Code
from api.router import Router
from api.template_catalogue import TEMPLATES, Template
from connectors.messages import Message
from flows.futility import check_proposal
from flows.selector import Matcher, Selector, SelectorError, parse_selector
from flows.validator import ConfigError

router = Router(prefix="/api/detector-templates", tags=["detectors"])

Matchers = Annotated[
    str,
    Query(max_length=2000, description='PromQL matchers that are added to every selector, as job="shop",env="prod"'),
]


BEFORE = '{__name__=~".+",'
"""Makes a selector of matchers alone, which may all take series that lack their label."""

FAMILIES = tuple(dict.fromkeys(one.family for one in TEMPLATES.values()))


Family = Annotated[str, AfterValidator(among(FAMILIES)), Field(json_schema_extra={"enum": list(FAMILIES)})]


class Templates(Message):
    """All of them, family by family."""

    templates: list[Template]


@router.get("")
async def list_templates(
    family: Annotated[Family | None, Query(description="those of one family alone")] = None,
    matchers: Matchers = "",
) -> Templates:
    """Detectors ready to be used."""
    found = [one for one in TEMPLATES.values() if family is None or one.family == family]
    return Templates(templates=[narrowed(one, matchers) for one in found])


@router.get("/{name}")
async def read_template(name: str, matchers: Matchers = "") -> Template:
    """One of them; its config can be sent to POST /api/detectors as it is."""
    if name not in TEMPLATES:
        message = f"template {name[:100]!r}: there are {', '.join(TEMPLATES)}"
        raise ApiError(Code.NOT_FOUND, message)
    return narrowed(TEMPLATES[name], matchers)


def narrowed(template: Template, matchers: str) -> Template:
    """The template with further matchers in its selectors; raises ``ConfigError``."""
    if not matchers.strip():
        return template
    config = template.config
    added = _read(matchers)
    group = config.group
    if group is not None and group.denominator is not None:
        group = group.model_copy(update={"denominator": _both(group.denominator, added)})
    config = config.model_copy(update={"selector": _both(config.selector, added), "group": group})
    try:
        check_proposal(config)
    except ConfigError as error:
        cause = error.__cause__
        problem = cause.problem if isinstance(cause, SelectorError) else error.expected
        expected = f"must fit the template {template.name}, which selects {template.config.selector}: {problem}"
        raise ConfigError(field="matchers", value=matchers, expected=expected) from error
    return template.model_copy(update={"config": config})


def _read(matchers: str) -> tuple[Matcher, ...]:
    """What the caller wrote; where it cannot be read is told in it, not in the selector that it is put into."""
    try:
        more = parse_selector(f"{BEFORE}{matchers}}}").matchers
    except SelectorError as error:
        at = min(error.position - len(BEFORE), len(matchers)) + 1
        expected = f'must be matchers, as job="shop",env=~"prod|test"; character {at}: {error.problem}'
        raise ConfigError(field="matchers", value=matchers, expected=expected) from error
    return tuple(one for one in more if (one.name, one.value) != ("__name__", ".+"))


def _both(selector: str, added: tuple[Matcher, ...]) -> str:
    """A selector with more matchers, as text."""
    known = parse_selector(selector)
    return str(Selector((*known.matchers, *(one for one in added if one not in known.matchers))))
