"""What the logs flow tells of itself."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from connectors.reader import ReaderStats
from flows.mining.limits import MiningLimits
from flows.mining.vitals import BEHIND_S, MAX_SHOWN, MiningVitals
from tests.logs import Mine, control, lines
from tests.series import START_MS
from tests.streams import TOPICS, Record

STATS = ReaderStats(
    queued_records=3, queued_bytes=400, lag_records=5, received_records_total=60, received_bytes_total=7000,
    full_waits_total=8, partitions=2,
)  # fmt: skip
FEW = MiningLimits(max_patterns=2, max_lines=3, max_scopes=1, idle_s=1000)


def exposed(vitals: MiningVitals) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(vitals)
    told = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in told if line[0] != "#")}


def vitals_of(mine: Mine, stats: ReaderStats = STATS) -> MiningVitals:
    vitals = MiningVitals(mine.decoder, lambda: stats)
    vitals.countings += mine.countings
    vitals.miners.append(mine.miner)
    return vitals


def busy(limits: MiningLimits = FEW) -> Mine:
    """Two partitions that met every bound."""
    mine = Mine(2, limits)
    for partition in range(2):
        said = [(START_MS + n, f"INFO {'abcd'[n]} x") for n in range(4)]
        late, new = (START_MS - 60_000, "INFO a x"), (START_MS + 10**9, "INFO a x")
        mine.take(
            [
                control(START_MS + 5000, partition), lines({"app": "shop"}, *said, late, new, partition=partition),
                lines({"app": "mail"}, (START_MS, "WARN e x"), partition=partition),
                Record(TOPICS.logs, partition, 0, b"anonymous", b"\xff\xff", []),
                control(START_MS + 15_000, partition),
            ]
        )  # fmt: skip
    return mine


def test_what_partitions_and_the_miner_counted_is_summed() -> None:
    mine = busy()
    metrics = exposed(vitals_of(mine))
    told = {name.removeprefix("tocsin_logs_"): value for name, value in metrics.items()}
    assert told["lines_total"] == 14
    assert told["bytes_total"] == 14 * len("INFO a x")
    assert told['dropped_total{reason="late"}'] == 2
    assert told['dropped_total{reason="too_new"}'] == 2
    assert told['poison_records_total{reason="poison"}'] == 2
    assert (told["steps_total"], told["births_total"], told["patterns"]) == (1, 2, 2)
    assert told["patterns_refused_total"] == mine.miner.counts["patterns_refused"] > 0
    assert told["unmined_lines_total"] == mine.miner.counts["lines_unmined"] > 0
    assert told["masked_lines"] == len(mine.miner.lines) == 3
    assert told["masked_lines_refused_total"] == mine.miner.lines.refused > 0
    assert (told["scopes"], told["scopes_refused_total"]) == (1, 2)
    assert told["patterns_forgotten_total"] == 0
    assert (told["stalled_lines_total"], told["streams_forgotten_total"], told["announcements_cleared_total"]) == (
        0,
    ) * 3


def test_what_the_reader_holds_is_told() -> None:
    metrics = exposed(vitals_of(Mine()))
    assert metrics["tocsin_logs_queue_bytes"] == STATS.queued_bytes
    assert metrics["tocsin_logs_lag_records"] == STATS.lag_records
    assert metrics["tocsin_logs_received_records_total"] == STATS.received_records_total
    assert metrics["tocsin_logs_received_bytes_total"] == STATS.received_bytes_total


@pytest.mark.parametrize("table", ["MAX_STREAMS", "MAX_KNOWN"])
def test_full_tables_of_the_reader_are_counted(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"flows.mining.lines.{table}", 2)
    mine = Mine()
    mine.take([lines({"app": app}, (START_MS, f"it is {app}")) for app in "abcdef"])
    metrics = exposed(vitals_of(mine))
    full = {"MAX_STREAMS": "streams_forgotten", "MAX_KNOWN": "announcements_cleared"}
    assert {name: metrics[f"tocsin_logs_{name}_total"] for name in full.values()} == {
        name: 2 if which == table else 0 for which, name in full.items()
    }


def test_it_is_behind_while_records_wait_and_log_time_is_old() -> None:
    mine = busy()
    mine.take([control(START_MS + 20_000, 1)])
    vitals, log_s = vitals_of(mine), (START_MS + 15_000) / 1000
    assert vitals.behind_reason(log_s + BEHIND_S) == ""
    assert vitals.behind_reason(log_s + BEHIND_S + 1) == "31 s behind: 5 records wait to be counted"
    assert vitals_of(mine, STATS._replace(lag_records=0)).behind_reason(log_s + 3600) == ""


def test_before_there_is_log_time_nothing_is_behind() -> None:
    assert vitals_of(Mine(2)).behind_reason(START_MS / 1000) == ""
    assert MiningVitals(Mine().decoder, lambda: STATS).behind_reason(START_MS / 1000) == ""


def test_patterns_are_shown_by_their_lines_as_they_read_now() -> None:
    mine = Mine()
    said = [f"INFO user of {name} logged in" for name in ("anna", "otto")] + ["ERROR disk full"]
    mine.take([control(START_MS), lines({"app": "shop"}, *((START_MS + 6000, line) for line in said)),
               control(START_MS + 20_000)])  # fmt: skip
    page = vitals_of(mine).patterns()
    assert page.patterns == 2
    assert [one.model_dump() for one in page.shown] == [
        {"tenant": "anonymous", "labels": {"service_name": "shop"}, "level": level, "pattern": text, "lines": lines}
        for level, text, lines in [("info", "INFO user of <*> logged in", 2), ("error", "ERROR disk full", 1)]
    ]


def test_so_many_patterns_are_shown() -> None:
    mine = Mine()
    names = [f"{a}{b} {c}" for a in "abcdefghij" for b in "lmnopqrst" for c in "vwxyzABCDEFGHI"]
    mine.take([control(START_MS), lines({"app": "shop"}, *((START_MS + 6000, f"it {name}") for name in names[:9]),
                                        *((START_MS + 6000, f"{name} it") for name in names)),
               control(START_MS + 20_000)])  # fmt: skip
    page = vitals_of(mine).patterns()
    assert page.patterns == len(names) + 9
    assert len(page.shown) == MAX_SHOWN


def test_without_a_miner_there_are_no_patterns() -> None:
    assert MiningVitals(Mine().decoder, lambda: STATS).patterns().patterns == 0
