from api.component_changes import ComponentChanges
from connectors.probes import OK, Status, degraded_if, down_if


def test_only_what_got_better_or_worse_is_told() -> None:
    changes = ComponentChanges()
    (first,) = changes.look({"detectors": down_if("still reading")}, 5)
    assert (first.component, first.status, first.reason, first.before, first.time_ms) == (
        "detectors", Status.DOWN, "still reading", None, 5,
    )  # fmt: skip
    assert list(changes.look({"detectors": down_if("silent for 7 s")}, 6)) == []
    found = list(changes.look({"detectors": OK, "journal": degraded_if("full")}, 7))
    assert [(one.component, one.before, one.status) for one in found] == [
        ("detectors", Status.DOWN, Status.OK), ("journal", None, Status.DEGRADED),
    ]  # fmt: skip
