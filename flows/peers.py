"""Which series of a program are judged together: the groups of a detector whose members stay what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from connectors.codec.encode import encode_labels
from connectors.codec.labels import parse_labels
from connectors.detector import Aggregate, DetectorConfig, Group
from flows.detectors.registry import KINDS, Trait
from flows.group import labels_kept
from flows.numbering import Numbering
from flows.partial import Merged


def name_of(group: Group, labels: Mapping[str, str]) -> bytes:
    """Canonical labels of the group to which a series with these labels belongs."""
    return _name(labels_kept(group), labels)


def _name(kept: Callable[[str], bool], labels: Mapping[str, str]) -> bytes:
    return encode_labels({name: value for name, value in labels.items() if kept(name)})


def has_entities(config: DetectorConfig) -> bool:
    """Whether the groups of a detector are judged as one signal each, besides which their members are kept."""
    members = config.group is not None and config.group.aggregate is Aggregate.MEMBERS
    return members and Trait.TOGETHER not in KINDS[config.kind].traits


def with_entities(merged: Merged, group: Group) -> Merged:
    """One more signal for each group, unless a member has its very labels, then the members at a step.

    Groups come first because they find room first: members without their group would be judged for nobody.
    """
    kept = labels_kept(group)
    names = {_name(kept, parse_labels(labels)) for labels in merged.labels}
    entities = sorted(names.difference(merged.labels))
    return Merged((*entities, *merged.labels), np.concatenate([np.zeros(len(entities)), merged.values]))


class Peers:
    """Groups by number; a number is used again when its last member is gone."""

    def __init__(self, group: str) -> None:
        self._kept = labels_kept(Group.model_validate_json(group))
        self._groups: Numbering[bytes] = Numbering()
        self._of_slot: dict[int, int] = {}

    def join(self, slot: int, labels: Mapping[str, str]) -> int:
        """Number of the group to which a series with these labels belongs."""
        number = self._groups.join(_name(self._kept, labels))
        self._of_slot[slot] = number
        return number

    def leave(self, slot: int) -> None:
        """The series of a slot is gone."""
        self._groups.leave(self._of_slot.pop(slot))

    def is_entity(self, labels: Mapping[str, str]) -> bool:
        """Whether a series stands for a whole group: its labels are those of the group and no more."""
        return all(map(self._kept, labels))
