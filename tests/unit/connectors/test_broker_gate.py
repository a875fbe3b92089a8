from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectors.broker_gate import REREAD_S, BrokerGate
from connectors.errors import Overloaded


def test_no_file_no_bound(tmp_path: Path) -> None:
    BrokerGate(None).check(0.0)
    BrokerGate(tmp_path / "none.json").check(0.0)


def test_full_until_the_file_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text(json.dumps({"full": True, "message": "full, use TOCSIN_KAFKA"}))
    gate = BrokerGate(path)
    with pytest.raises(Overloaded, match="TOCSIN_KAFKA") as full:
        gate.check(0.0)
    assert full.value.retry_after_s > 0
    assert gate.full_reason(0.0) == "full, use TOCSIN_KAFKA"
    path.write_text(json.dumps({"full": False, "message": ""}))
    with pytest.raises(Overloaded):
        gate.check(REREAD_S / 2)  # read at most once a second
    gate.check(REREAD_S)
    assert gate.full_reason(REREAD_S) == ""


@pytest.mark.parametrize("content", ["", "{", "[]", '{"full": 1}'])
def test_a_file_that_cannot_be_read_keeps_the_last_status(tmp_path: Path, content: str) -> None:
    path = tmp_path / "status.json"
    path.write_text(json.dumps({"full": True, "message": "full"}))
    gate = BrokerGate(path)
    with pytest.raises(Overloaded):
        gate.check(0.0)
    path.write_text(content)
    with pytest.raises(Overloaded):
        gate.check(REREAD_S)
