from __future__ import annotations

from pathlib import Path

import pytest

from api.app import create_app
from api.settings import ApiSettings
from api.template_catalogue import TEMPLATES
from api.templates import narrowed
from connectors.detector import DetectorConfig
from flows.selector import parse_selector
from flows.validator import ConfigError, check_config
from tests.apis import ask

APP = create_app(ApiSettings(kafka="127.0.0.1:1"))


@pytest.mark.parametrize("name", TEMPLATES)
def test_matchers_narrow_every_selector_and_the_config_can_be_created(name: str) -> None:
    config = narrowed(TEMPLATES[name], 'env="prod",instance=~"web.*"').config
    check_config(config)
    selectors = [config.selector, *([config.group.denominator] if config.group and config.group.denominator else [])]
    before = TEMPLATES[name].config
    for selector, old in zip(selectors, [before.selector, before.group and before.group.denominator], strict=False):
        matchers = {str(one) for one in parse_selector(selector).matchers}
        assert matchers == {'env="prod"', 'instance=~"web.*"', *map(str, parse_selector(old or "").matchers)}


@pytest.mark.parametrize(
    ("matchers", "problem"),
    [
        ("job", "must be matchers, as …; character 4: expected one of = != =~ !~"),
        ("env=", "must be matchers, as …; character 5: expected a string in"),
        ('job="a" env="b"', "must be matchers, as …; character 9: expected , or }"),
        ('job="x",job="y"', "must be matchers, as …; character 16: no series can fulfil both"),
        (
            'mode="user"',
            'must fit the template node-cpu, which selects node_cpu_seconds_total{mode="idle"}: no ',
        ),
        ('__name__="up"', "must fit the template node-cpu, which selects … the metric name is given twice"),
    ],
)
def test_what_is_no_matcher_is_refused_by_what_the_caller_wrote(matchers: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        narrowed(TEMPLATES["node-cpu"], matchers)
    assert (refused.value.field, refused.value.value) == ("matchers", matchers)
    begins, _, then = problem.partition("…")
    assert refused.value.expected.startswith(begins)
    assert then in refused.value.expected
    assert ".+" not in refused.value.expected


def test_templates_are_listed_by_family_and_read_by_name() -> None:
    listed = ask(APP, "GET", "/api/detector-templates", params={"family": "kafka"}).json()["templates"]
    assert [one["name"] for one in listed] == ["kafka-lag", "kafka-replicas", "kafka-traffic"]
    assert len(ask(APP, "GET", "/api/detector-templates").json()["templates"]) == len(TEMPLATES)
    found = ask(APP, "GET", "/api/detector-templates/node-disk", params={"matchers": 'device="sda"'}).json()
    assert 'device="sda"' in DetectorConfig(**found["config"]).selector
    assert ask(APP, "GET", "/api/detector-templates/none").json()["code"] == "not_found"
    refused = ask(APP, "GET", "/api/detector-templates/node-disk", params={"matchers": "}"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "matchers")


def test_every_template_is_described() -> None:
    text = (Path(__file__).parents[3] / "docs" / "api.md").read_text(encoding="utf-8")
    for name in TEMPLATES:
        assert f"`{name}`" in text
