"""Whose line it is."""

from __future__ import annotations

import pytest

from flows.mining.levels import Level
from flows.mining.scope import Scope, Service, Stream, service_of


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"service_name": "a", "app": "b"}, "a"),
        ({"app": "b", "container": "c", "job": "d"}, "b"),
        ({"service_name": "", "job": "d", "pod": "p"}, "d"),
        ({"pod": "p"}, "unknown_service"),
        ({}, "unknown_service"),
    ],
)
def test_the_first_label_that_loki_takes_names_the_service(labels: dict[str, str], name: str) -> None:
    assert service_of(labels) == name
    assert ("service_name", name) in Stream("t", labels).service.labels


def test_a_service_is_told_by_the_labels_of_the_settings_that_it_has() -> None:
    labels = {"namespace": "shop", "app": "till", "pod": "till-1", "cluster": ""}
    assert Stream("t", labels).service == Service("t", (("namespace", "shop"), ("service_name", "till")))
    assert Stream("t", labels, ("pod", "app")).service == Service("t", (("pod", "till-1"), ("app", "till")))


@pytest.mark.parametrize(
    ("labels", "level"),
    [
        ({"level": "WARNING"}, Level.WARN),
        ({"detected_level": "err", "severity": "info"}, Level.ERROR),
        ({"level": "verbose", "severity_text": "Fatal"}, Level.FATAL),
        ({"level": ""}, None),
        ({"levels": "info"}, None),
    ],
)
def test_a_stream_may_tell_the_level_of_all_its_lines(labels: dict[str, str], level: Level | None) -> None:
    assert Stream("t", labels).level is level


def test_the_seed_differs_by_tenant_and_service_and_by_nothing_else() -> None:
    streams = [
        Stream("t", {"app": "a", "pod": "1"}), Stream("t", {"app": "a", "pod": "2"}), Stream("t", {"job": "a"}),
        Stream("u", {"app": "a"}), Stream("t", {"app": "b"}), Stream("t", {"app": "a", "namespace": "n"}),
    ]  # fmt: skip
    same, others = {stream.seed for stream in streams[:3]}, {stream.seed for stream in streams[3:]}
    assert len(same) == 1
    assert len(same | others) == 4


def test_a_scope_names_its_level() -> None:
    service = Service("t", ())
    assert [Scope(service, level).level_name for level in (Level.CRITICAL, Level.UNKNOWN, None)] == [
        "critical", "unknown", "",
    ]  # fmt: skip
