"""How many trials and how much time a search may take, and how long a trial may train. Pure."""

from __future__ import annotations

from dataclasses import dataclass

EPOCHS = (60, 40, 25, 15, 10, 6, 4, 2, 1)
"""Lengths of training that are tried: in steps, so that the same machine comes to the same recipe again."""
SHARE = 0.5
"""Part of the time that trials with training may take together, as far as it can be foreseen."""
TRAINED = 5
"""Trials with training that are reckoned with."""
LOOKING = 0.2
"""Part of the time that measuring sensitivities may take."""


@dataclass(frozen=True)
class Budget:
    """What a search may take."""

    trials: int
    seconds: float

    def allows(self, done: int, spent: float, expected: float) -> bool:
        """Say whether another trial may begin after `done` trials and `spent` seconds, if it takes what is expected."""
        return done < self.trials and spent + expected < self.seconds

    def epochs(self, epoch: float) -> int:
        """Return how many epochs of `epoch` seconds a trial may train; 0: not even one."""
        most = SHARE * self.seconds / min(TRAINED, self.trials)
        return next((count for count in EPOCHS if count * epoch <= most), 0)
