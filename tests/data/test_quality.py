"""The quality command on the labelled data, with a cheap kind whose figures are known."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.quality import main

pytestmark = [pytest.mark.data, pytest.mark.integration]


def test_a_control_chart_on_all_sets(capsys: pytest.CaptureFixture[str]) -> None:
    """An EWMA chart is the best simple baseline on mscloud and a poor one on asd: both must show."""
    assert main(["--detector", "ewma", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {name: figures["events"] for name, figures in result.items()} == {"asd": 38, "mscloud": 110, "nab": 63}
    assert 0.45 < result["mscloud"]["at_1"]["recall"] < 0.75
    assert result["asd"]["at_1"]["recall"] < 0.3
    assert 25 < result["nab"]["nab"]["best_threshold"] < 60
