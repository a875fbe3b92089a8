"""How rightly lines are grouped: Loghub's systems, against drain3's .902 on the same lines."""

from __future__ import annotations

import pytest

from tests.loghub import accuracy, systems

pytestmark = pytest.mark.data


def test_lines_are_grouped_as_rightly_as_docs_say() -> None:
    found = {system.name: accuracy(system) for system in systems()}
    assert len(found) == 8
    assert min(found.values()) >= 0.80, found
    assert sum(found.values()) / len(found) >= 0.95, found
