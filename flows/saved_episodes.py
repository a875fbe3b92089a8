"""The open episodes of a block to its snapshot and back, and the end of those whose detector is no more.

A newer Tocsin may refuse a detector that an older one ran, or read its selector otherwise. Who was told that an episode
opened is then told that it ended; so a snapshot keeps what ids are made of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from connectors.detector import Detector
from flows.block import Block
from flows.config import ProgramKey, remembered
from flows.detectors.base import Ints
from flows.detectors.registry import KINDS
from flows.episode import EPISODE, TOLD, Episodes
from flows.programs import Key
from flows.report import Watched, signal_of
from flows.saved import Saved


def save_episodes(block: Block, rows: Ints) -> tuple[Episodes, list[list[Any]], dict[str, str]]:
    """Open episodes, for each its row in the snapshot, detector and program, and the digests of these detectors."""
    episodes = block.episodes.open[block.episodes.open["lane"] >= 0]
    routes, owners, digests = block.watch.routes, [], {}
    numbers = {key: number for number, key in enumerate(block.watch.programs.keys)}
    for lane in episodes["lane"].tolist():
        row = routes.entries["row"][routes.lanes["entry"][lane]]
        detector = block.watch.detector(int(routes.lanes["detector"][lane]))
        digests[detector.source.id] = detector.digest.hex()
        program = numbers[block.watch.key_of_lane(lane)]
        owners.append([int(np.searchsorted(rows, row)), detector.source.id, program])
    return episodes, owners, digests


def load_episodes(block: Block, saved: Saved, sources: Sequence[Detector], programs: Sequence[Key]) -> None:
    """Put them back; those that nobody follows any more are ended.

    ``sources`` are the detectors of the snapshot, whether they are known or not, ``programs`` its programs.
    """
    episodes, owners = saved.arrays["episodes"], saved.header["episodes"]
    lanes = [lane_of(block, row, detector_id) for row, detector_id, _ in owners]
    room = max(64, 1 << len(episodes).bit_length())
    block.episodes.full = saved.header["episodes_full"]
    block.episodes.open = np.zeros(room, EPISODE)
    block.episodes.open["lane"] = -1
    block.episodes.look_anew()
    by_id = {source.id: source for source in sources}
    for at, lane in enumerate(lanes):
        if lane is not None:
            block.episodes.open[at] = episodes[at]
            block.episodes.open["lane"][at] = lane
            block.watch.routes.lanes["episode"][lane] = at
        elif episodes["phase"][at] == TOLD:
            row, detector_id, program = owners[at]
            watched = _watched(block, row, by_id[detector_id], programs[program], saved.header["digests"])
            if watched is not None:
                block.end_forgotten(watched, episodes[at])


def lane_of(block: Block, row: int, detector_id: str) -> int | None:
    """The lane of a detector on a row, None if there is none."""
    number, detectors = block.watch.numbers.get(detector_id), block.watch.routes.lanes["detector"]
    return next((lane for lane in block.watch.lanes_of_series(row) if detectors[lane] == number), None)


def _watched(block: Block, row: int, source: Detector, key: Key, digests: Mapping[str, str]) -> Watched | None:
    """Who watched which series; None of a kind that is not known any more: nothing could be said in words."""
    if not isinstance(key, ProgramKey) or key.kind not in KINDS:
        return None
    shape, expression = block.narration.signal or (key.shape, None)
    raw_labels = block.series.labels[row] or b""
    detector = remembered(source, key, bytes.fromhex(digests[source.id]))
    return Watched(detector, block.series.tenant(row), raw_labels, signal_of(raw_labels, shape, expression))
