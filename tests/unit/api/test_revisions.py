import asyncio
import time
from functools import partial

import pytest

from api.meters import ApiMeters
from api.revisions import WRITE_HEADER, RevisionLog, Written
from api.settings import ApiSettings
from api.upkeep import Upkeep
from connectors.detector import Detector, DetectorConfig, DetectorRevision
from connectors.errors import Overloaded, Unavailable
from connectors.received import Received
from flows.revisions import Outcome
from flows.validator import ConfigError


def make_log(**settings: int) -> tuple[RevisionLog, ApiMeters]:
    meters = ApiMeters()
    return RevisionLog(ApiSettings(kafka="127.0.0.1:1", **settings), meters, lambda: 1_000, Upkeep("")), meters


def make_config(name: str = "n", **changes: object) -> DetectorConfig:
    return DetectorConfig.model_validate({"name": name, "kind": "mad", "selector": "up", **changes})


def record(detector_id: str, base: int, config: DetectorConfig | None, offset: int = 0) -> Received:
    revision = DetectorRevision(detector_id=detector_id, base_revision=base, config=config, author="a", time_ms=5)
    return Received("tocsin.detectors", 0, offset, 0, detector_id.encode(), revision.encode(), [])


def every(log: RevisionLog) -> list[Detector]:
    return list(log.after(""))


def test_records_are_applied_in_order_and_counted_by_outcome() -> None:
    log, meters = make_log()
    other = make_config(threshold=9)
    log.handle(
        [
            record("b", 0, make_config()),
            record("a", 0, other),
            record("b", 0, make_config("late")),
            record("c", 0, make_config("twin")),
            record("d", 0, make_config(kind="nonsense")),
            record("b", 1, make_config("new")),
            Received("tocsin.detectors", 0, 9, 0, None, b"{", []),
        ]
    )
    assert [(detector.id, detector.revision, detector.config.name) for detector in every(log)] == [
        ("a", 1, "n"),
        ("b", 2, "new"),
    ]
    counts = {
        result: meters.registry.get_sample_value("tocsin_api_detector_revisions_total", {"result": result})
        for result in ("applied", "stale", "duplicate", "invalid", "unreadable")
    }
    assert counts == {"applied": 3, "stale": 1, "duplicate": 1, "invalid": 1, "unreadable": 1}
    assert meters.registry.get_sample_value("tocsin_api_detectors") == 2


def test_a_deleted_detector_is_gone() -> None:
    log, _ = make_log()
    log.handle([record("a", 0, make_config()), record("a", 1, None)])
    assert log.get("a") is None
    assert every(log) == []
    assert log.kept.get("a", 1) is None


def test_a_twin_computes_the_same_under_another_id() -> None:
    log, _ = make_log()
    log.handle([record("a", 0, make_config())])
    twin = log.twin_of("b", make_config("other name"))
    assert twin is not None
    assert twin.id == "a"
    assert log.twin_of("a", make_config()) is None
    assert log.twin_of("b", make_config(threshold=9)) is None
    with pytest.raises(ConfigError):
        log.twin_of("b", make_config(kind="nonsense"))


def test_more_writes_than_allowed_are_refused() -> None:
    log, meters = make_log(api_max_writes=1)

    async def main() -> None:
        log._waiting[b"x"] = asyncio.get_running_loop().create_future()
        with pytest.raises(Overloaded, match="TOCSIN_API_MAX_WRITES"):
            await log.write("a", 0, make_config())
        assert meters.registry.get_sample_value("tocsin_api_detector_writes_in_flight") == 1
        del log._waiting[b"x"]
        await log.stop()

    asyncio.run(main())


def test_writers_without_kafka_are_all_refused_within_one_delivery_time_out() -> None:
    settings = ApiSettings(kafka="127.0.0.1:1", delivery_timeout_s=1.0)
    log = RevisionLog(settings, ApiMeters(), lambda: 1_000, Upkeep(""))

    async def refused(number: int) -> None:
        with pytest.raises(Unavailable, match="TOCSIN_KAFKA"):
            await log.write(f"d{number}", 0, make_config())

    async def main() -> None:
        began_s = time.monotonic()
        await asyncio.gather(*(refused(number) for number in range(8)))
        assert time.monotonic() - began_s < 2.5
        await log.stop()

    asyncio.run(main())


def test_who_wrote_an_invalid_revision_is_told_what_is_wrong() -> None:
    log, _ = make_log()

    async def main() -> Written:
        waiter = log._waiting[b"x"] = asyncio.get_running_loop().create_future()
        bad = record("a", 0, make_config(kind="nonsense"))
        log.handle([bad._replace(headers=[(WRITE_HEADER, b"x")])])
        return await waiter

    written = asyncio.run(main())
    assert written.outcome is Outcome.INVALID
    assert written.refusal is not None
    assert (written.refusal.field, written.refusal.value) == ("kind", "nonsense")


def test_what_follows_an_id_is_ordered_by_it() -> None:
    log, _ = make_log()
    log.handle([record(name, 0, make_config(name, threshold=9 + n)) for n, name in enumerate("dbeac")])

    def ids(after: str) -> str:
        return "".join(detector.id for detector in log.after(after))

    assert ids("") == "abcde"
    assert ids("b") == ids("bb") == "cde"
    assert ids("e") == ""
    log.handle([record("c", 1, None), record("f", 0, make_config("f"))])
    assert ids("b") == "def"


def test_what_a_detector_was_is_kept_until_it_is_deleted() -> None:
    log, meters = make_log()
    log.handle([record("a", base, make_config(f"n{base}")) for base in range(3)])
    assert log.kept.before("a", 3) == [2, 1]
    assert [past.config.name for past in map(partial(log.kept.get, "a"), (2, 1)) if past] == ["n1", "n0"]
    assert meters.registry.get_sample_value("tocsin_api_detector_revisions_kept") == 3
    log.handle([record("a", 3, None), record("a", 0, make_config("anew"))])
    assert log.kept.before("a", 1) == []
    assert meters.registry.get_sample_value("tocsin_api_detector_revisions_kept") == 1
