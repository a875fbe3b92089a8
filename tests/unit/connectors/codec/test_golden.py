from __future__ import annotations

import json
from pathlib import Path

import cramjam
import pytest

from connectors.codec.remote_write import Version
from tests import wire
from tests.golden.record import FOLDER, WANTED, kinds
from tests.unit.connectors.codec.test_remote_write import check_against_twin

BODIES = sorted(FOLDER.glob("*.json"))


def test_every_kind_was_recorded() -> None:
    assert [json.loads(path.read_text())["kind"] for path in BODIES] == list(WANTED)


@pytest.mark.parametrize("path", BODIES, ids=lambda path: path.stem)
def test_golden_body(path: Path) -> None:
    body = bytes(cramjam.snappy.decompress_raw(path.with_suffix(".body").read_bytes()))
    assert json.loads(path.read_text())["kind"] in kinds(wire.parse(wire.V1["Request"], body))
    check_against_twin(body, Version.V1)
