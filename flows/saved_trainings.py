"""A block with its trainings as bytes; without one it is what ``flows.persistence`` makes of the block."""

from __future__ import annotations

import json
import struct
from typing import Any

from connectors.detector import Detector, Shape
from flows.block import Block
from flows.persistence import load, save
from flows.saved import SavedVersionError
from flows.training import MAX_SERIES, Training, Trainings
from flows.validator import ConfigError
from flows.warm_groups import begin_warm

MAGIC = b"TOCSINT1"
VERSION = 1
_NUMBERS = ("records", "samples", "ahead", "touched_ms", "met", "ended")
_length = struct.Struct("<I")


def save_trained(trainings: Trainings) -> bytes:
    """All that a replay needs."""
    block = save(trainings.block)
    if not trainings.running:
        return block
    learned = [training.warm.save() for training in trainings]
    header = {
        "version": VERSION,
        "sizes": [len(block), *map(len, learned)],
        "trainings": [_told(training) for training in trainings],
    }
    head = json.dumps(header, separators=(",", ":")).encode()
    return b"".join([MAGIC, _length.pack(len(head)), head, block, *learned])


def load_trained(raw: bytes, block: Block) -> Trainings:
    """Fill a new block, with the trainings beside it; raises ``SavedVersionError``.

    A training of a detector that this version refuses has failed.
    """
    if raw[: len(MAGIC)] != MAGIC:
        return Trainings(load(raw, block))
    at = len(MAGIC) + _length.size
    (size,) = _length.unpack_from(raw, len(MAGIC))
    header = json.loads(raw[at : at + size])
    if header["version"] != VERSION:
        message = f"trainings of version {header['version']}, this Tocsin reads version {VERSION}"
        raise SavedVersionError(message)
    pieces = []
    at += size
    for size in header["sizes"]:
        pieces.append(raw[at : at + size])
        at += size
    trainings = Trainings(load(pieces[0], block))
    for told, learned in zip(header["trainings"], pieces[1:], strict=True):
        detector = Detector.model_validate(told["detector"])
        try:
            warm = begin_warm(block, detector, MAX_SERIES, learned)
        except ConfigError as error:
            trainings.forget(told["id"], detector.id, told["partition"], error)
            continue
        numbers = {name: told[name] for name in _NUMBERS}
        signal = None if told.get("signal") is None else Shape(told["signal"])
        trainings.running[told["id"]] = Training(told["id"], told["partition"], warm, signal=signal, **numbers)
    return trainings


def _told(training: Training) -> dict[str, Any]:
    numbers = {name: getattr(training, name) for name in _NUMBERS}
    told = {"id": training.id, "partition": training.partition, "signal": training.signal}
    return {**told, "detector": training.warm.source.model_dump(mode="json"), **numbers}
