"""From which surprise the detectors of a block alarm: as stated, by chance, or by a budget."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from flows.budget import Budgets
from flows.config import CompiledDetector
from flows.crowd import Crowd
from flows.detectors.base import Ints
from flows.keys import Keys
from flows.policy import POLICY, Policies, chance_of_each
from flows.program import Program
from flows.programs import Programs


class Thresholds:
    """Policies by the numbers of detectors; ``detector`` gives the one with a number."""

    def __init__(self, keys: Keys, programs: Programs, detector: Callable[[int], CompiledDetector]) -> None:
        self.policies: Policies = np.zeros(0, POLICY)
        self.budgets = Budgets()
        self._keys, self._programs, self._detector = keys, programs, detector

    def reserve(self, detectors: int) -> None:
        """Make room for so many detectors, more than before."""
        self.policies = np.concatenate([self.policies, np.zeros(detectors - len(self.policies), POLICY)])

    def set(self, numbers: Ints, crowd: Crowd) -> None:
        """Begin as the configs of new detectors with these numbers have it."""
        self.policies[numbers] = crowd.policies
        for at in crowd.budgeted:
            budget = crowd.detectors[at].source.config.budget
            assert budget is not None  # noqa: S101 - as of all of them
            self.budgets.begin(int(numbers[at]), budget, self.policies)

    def share_chance(self, partitions: int) -> None:
        """Let thresholds by chance follow how many signals a detector has, if all partitions have as many as this one.

        A single series is taken to be the only one.
        """
        touched = self._keys.touched
        if not len(touched):
            return
        chances = self.policies["log_chance"]
        by_chance = touched[~np.isnan(chances[touched])].tolist()
        again = [number for number in by_chance if self._entities_of(number)]  # as many series may be of more groups
        changed = self._keys.changed()
        if again:
            changed = np.union1d(changed, np.array(again, np.int64))
        shared = self._keys.shared
        for number in changed[~np.isnan(chances[changed])].tolist():
            signals = ((self._entities_of(number) or int(shared[number])) - 1) * partitions + 1
            chances[number] = math.log10(chance_of_each(self._detector(number).source.config, signals))

    def _entities_of(self, number: int) -> int:
        """How many groups a detector judges each as one signal, whose members do not alarm; 0 if it judges none so."""
        key = self._detector(number).program
        program = self._programs.find(key) if key.peers else None
        return len(program.entities) if isinstance(program, Program) else 0

    def chances(self) -> dict[str, tuple[int, float]]:
        """By the ids of detectors with a threshold by chance: among how many series it is shared out, log10 of each."""
        chances = self.policies["log_chance"]
        shared = self._keys.shared
        known = np.flatnonzero(shared >= 0)
        return {
            self._detector(number).source.id: (int(shared[number]), float(chances[number]))
            for number in known[~np.isnan(chances[known])].tolist()
        }

    def restore_chances(self, chances: Mapping[int, Sequence[float]]) -> None:
        """Put back by number what ``chances`` gave; what has changed since is seen at the next control record."""
        for number, (n, log_chance) in chances.items():
            self._keys.restore(number, int(n))
            self.policies["log_chance"][number] = log_chance
