from __future__ import annotations

from typing import Any

from api.meters import ApiMeters
from api.told import Told
from connectors.received import Received
from connectors.status import LogsStatus, PartitionStatus, Status, detector_key, logs_key, partition_key
from tests.told import detector_status, partition_status, signal

MIB = 1 << 20


def received(key: bytes | None, value: bytes | None) -> Received:
    return Received("tocsin.status", 0, 7, 0, key, value, [])


def told_of(told: Told, *changes: dict[str, Any]) -> None:
    for one in changes:
        status = detector_status(**one)
        told.handle([received(detector_key(status.detector, status.partition), status.encode())])


def results(meters: ApiMeters) -> dict[str, float]:
    samples = next(iter(meters.detectors.status_records.collect())).samples
    return {one.labels["result"]: one.value for one in samples if one.name.endswith("_total")}


def test_the_last_record_of_a_key_holds_and_groups_come_last() -> None:
    told = Told(MIB, ApiMeters())
    told_of(told, {"partition": None}, {"partition": 1, "matched": 3}, {"partition": 0}, {"partition": 1, "matched": 5})
    assert [(one.partition, one.matched) for one in told.of("d")] == [(0, 2), (1, 5), (None, 2)]
    assert told.of("other") == []
    assert told.signals("other") == []


def test_signals_of_all_partitions_are_given_as_they_came() -> None:
    told = Told(MIB, ApiMeters())
    told_of(told, {"signals": [signal("a")]}, {"partition": 1, "signals": [signal("b"), signal("c")]})
    assert [one["labels"]["n"] for one in told.signals("d")] == ["a", "b", "c"]
    assert told.of("d")[0].signals == []


def test_a_tombstone_forgets() -> None:
    told = Told(MIB, ApiMeters())
    told_of(told, {})
    told.handle([received(detector_key("d", 0), None), received(detector_key("never", 0), None)])
    assert (told.of("d"), told.size_bytes) == ([], 0)


def test_partitions_are_kept_by_number() -> None:
    told = Told(MIB, ApiMeters())
    alive = PartitionStatus(partition=3, log_ms=5, looked_ms=None, detectors_offset=0, detectors=0, series=0, lanes=0,
                            samples=0, judged=0, drops={})  # fmt: skip
    told.handle([received(partition_key(3), alive.encode())])
    assert told.partitions == {3: alive}
    told.handle([received(partition_key(3), None)])
    assert told.partitions == {}


def test_partitions_of_logs_are_kept_beside_those_of_metrics() -> None:
    meters = ApiMeters()
    told = Told(MIB, meters)
    alive = LogsStatus(partition=3, log_ms=5, lines=7, bytes=90, drops={"late": 1})
    told.handle([received(logs_key(3), alive.encode()), received(logs_key(4), b"{}")])
    assert (told.logs, told.partitions) == ({3: alive}, {})
    assert results(meters) == {"kept": 1.0, "invalid": 1.0}
    told.handle([received(logs_key(3), None)])
    assert told.logs == {}


def test_what_cannot_be_read_is_counted_and_changes_nothing() -> None:
    meters = ApiMeters()
    told = Told(MIB, meters)
    told_of(told, {"matched": 5})
    told.handle([received(b"x", b"{}"), received(detector_key("d", 0), b"{"), received(partition_key(0), b"[]")])
    assert [one.matched for one in told.of("d")] == [5]
    assert results(meters) == {"kept": 1, "invalid": 3}


def test_beyond_the_bound_who_was_told_of_longest_ago_loses_its_signals() -> None:
    meters = ApiMeters()
    size, bare = (len(detector_status(signals=[signal("a")] * n).encode()) for n in (9, 0))
    told = Told(2 * size + bare, meters)
    told_of(told, *({"detector": name, "signals": [signal("a")] * 9} for name in ("d", "e", "d", "f")))
    assert [len(told.signals(name)) for name in "def"] == [9, 0, 9]
    assert [told.of(name)[0].matched for name in "def"] == [2, 2, 2]
    assert told.size_bytes == 2 * size + bare
    assert results(meters) == {"kept": 4, "lost_signals": 1}
    told_of(told, {"detector": "e", "signals": [signal("a")] * 9})
    assert [len(told.signals(name)) for name in "def"] == [0, 9, 9], "the place changes hands again"


def test_beyond_the_bound_of_counts_records_are_left_out() -> None:
    meters = ApiMeters()
    bare = len(detector_status().encode())
    told = Told(2 * bare, meters)
    signals = [signal("a")] * 9
    assert len(detector_status(signals=signals).encode()) > 2 * bare
    told_of(told, {"detector": "d", "signals": signals}, {"detector": "e"}, {"detector": "f"})
    assert (told.signals("d"), len(told.of("d")), len(told.of("e")), told.of("f")) == ([], 1, 1, [])
    assert results(meters) == {"kept": 1, "without_signals": 1, "lost_signals": 1, "no_room": 1}
    told.handle([received(detector_key("e", 0), None)])
    told_of(told, {"detector": "f"})
    assert told.of("f"), "there is room again"


def test_all_that_is_told_is_published_without_signals() -> None:
    published: list[Status] = []
    told = Told(MIB, ApiMeters(), published.append)
    told_of(told, {"signals": [signal("a")]})
    told.handle([received(partition_key(0), partition_status().encode()), received(detector_key("d", 0), None)])
    assert published == [detector_status(), partition_status()]


def test_records_of_trainings_are_left_to_others() -> None:
    meters = ApiMeters()
    Told(MIB, meters).handle([received(b"training/t-0123456789abcdef/0", b"{}")])
    assert results(meters) == {"other": 1}
