"""What an operation of the random machine draws before it runs, said once for all who draw.

An `operation` names its arguments and what each may be. The stress command draws them with `random.Random`, the state
machine turns them into hypothesis strategies: there is one body, and one description of what it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

__all__ = ["ANY", "Draw", "Operation", "flags", "one_of", "operation", "operations_of", "some_bytes", "whole"]

_F = TypeVar("_F", bound=Callable[..., None])
_MARK = "_operation"


@dataclass(frozen=True)
class Draw:
    """What an argument may be: one of `choices`, up to `most_bytes` bytes, or a number from `low` to `high`."""

    low: int = 0
    high: int = 0
    choices: tuple[Any, ...] = ()
    most_bytes: int = 0
    optional: bool = False
    """Whether it may be None, too."""

    def draw(self, random: Random) -> Any:
        """Draw one value; None one time in three if it may be."""
        if self.optional and not random.randrange(3):
            return None
        if self.choices:
            return random.choice(self.choices)
        if self.most_bytes:
            return random.randbytes(random.randint(1, self.most_bytes))
        return random.randint(self.low, self.high)


def whole(low: int, high: int, optional: bool = False) -> Draw:
    """Return the draw of a number from `low` to `high`, or None if it is `optional`."""
    return Draw(low, high, optional=optional)


def one_of(*choices: Any) -> Draw:
    """Return the draw of one of some values; one that is named twice comes twice as often."""
    return Draw(choices=choices)


def some_bytes(most: int) -> Draw:
    """Return the draw of 1 to `most` bytes."""
    return Draw(most_bytes=most)


def flags() -> Draw:
    """Return the draw of True or False."""
    return one_of(False, True)


ANY = whole(0, 1 << 16)
"""A number that chooses among however many there are."""


@dataclass(frozen=True)
class Operation:
    """A method that is one step of the random machine."""

    name: str
    draws: Mapping[str, Draw]
    when: Callable[[Any], bool] | None
    """Whether there is anything to do it to; None: always."""
    weight: int
    """How often stress does it, against the others."""

    def draw(self, random: Random) -> dict[str, Any]:
        """Draw the arguments, by name."""
        return {name: draw.draw(random) for name, draw in self.draws.items()}

    def possible(self, on: Any) -> bool:
        """Whether it can be done now."""
        return self.when is None or self.when(on)


def operation(when: Callable[[Any], bool] | None = None, weight: int = 1, **draws: Draw) -> Callable[[_F], _F]:
    """Mark a method as an operation that may be done `when` a condition holds, with arguments as drawn."""

    def mark(method: _F) -> _F:
        setattr(method, _MARK, Operation(method.__name__, draws, when, weight))
        return method

    return mark


def operations_of(owner: type) -> list[Operation]:
    """Return the operations of a class and of those it is made from, by name."""
    found = (getattr(getattr(owner, name), _MARK, None) for name in sorted(dir(owner)))
    return [each for each in found if isinstance(each, Operation)]
