"""Fresh problems: numbers drawn from a seed, the same for who answers and for who checks.

Each question draws from a generator of its own, so that one more draw in one of them changes no other. The seed is the
learner's (see `vswaplab.lab.progress`), 0 unless it was set; the same seed and question give the same numbers on every
machine and in every version of Python.

>>> draws("06/slots", seed=1).randrange(100) == draws("06/slots", seed=1).randrange(100)
True
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from vswaplab.strict import seed_number

__all__ = ["draws", "shuffled"]


def draws(question_id: str, seed: int = 0) -> Random:
    """Return the generator of a question's numbers: `randrange`, `choice`, `uniform`, … of `random.Random`."""
    return Random(f"{seed_number(seed)} {question_id}")  # text is seeded by its SHA-512, on every machine alike


def shuffled(items: Sequence[str], question_id: str) -> list[str]:
    """Return items in an order to begin with that is not theirs, always the same for a question."""
    found, generator = list(items), draws(f"{question_id} order")
    while found == list(items):
        generator.shuffle(found)
    return found
