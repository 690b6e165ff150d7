"""What a learner's code may pass to an object of the checker's: declared types and ranges, checked before the call.

A host's methods declare their arguments as Python does, and the range of a number with `Range`. Nothing else reaches
the method, in a notebook as in a sandbox, so the checker never computes with a number that it did not ask for.

>>> from typing import Annotated
>>> class Clusters:
...     def used(self, cluster: Annotated[int, Range(0, 7)]) -> int:
...         return cluster
>>> host = Host(Clusters(), ("used",))
>>> host.call("used", [3])
3
>>> host.call("used", [1 << 40])
Traceback (most recent call last):
    ...
ValueError: cluster of used() must be 0 to 7, not 1099511627776
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, get_args, get_type_hints

from vswaplab.strict import quoted

__all__ = ["Host", "Range"]

MAX_TEXT = 1 << 16
"""Characters or bytes of an argument at most."""


@dataclass(frozen=True)
class Range:
    """The whole numbers from `low` to `high`, both included."""

    low: int
    high: int


_WORD = Range(-(1 << 63), (1 << 64) - 1)
"""A number whose range is not declared."""
_PLAIN = (bool, int, float, str, bytes)


@dataclass(frozen=True)
class _Argument:
    name: str
    kind: type
    range: Range

    def checked(self, method: str, value: Any) -> Any:
        what = f"{self.name} of {method}()"
        if self.kind is int:
            try:
                number = int(operator.index(value))  # numpy's integers, too
            except TypeError:
                raise TypeError(f"{what} must be a whole number, not {quoted(value)}") from None
            if not self.range.low <= number <= self.range.high:
                raise ValueError(f"{what} must be {self.range.low} to {self.range.high}, not {quoted(number)}")
            return number
        if not isinstance(value, self.kind):
            raise TypeError(f"{what} must be {self.kind.__name__}, not {quoted(value)}")
        if isinstance(value, str | bytes) and len(value) > MAX_TEXT:
            raise ValueError(f"{what} must have at most {MAX_TEXT} characters, not {len(value)}")
        return value


@lru_cache(maxsize=256)
def _declared(function: Callable[..., Any]) -> tuple[_Argument, ...]:
    hints = get_type_hints(function, include_extras=True)
    found = []
    for name in list(inspect.signature(function).parameters)[1:]:
        hint = hints.get(name)
        kind, *more = get_args(hint) if get_args(hint) else (hint,)
        if kind not in _PLAIN:
            raise TypeError(f"{function.__qualname__} must declare {name} as one of bool, int, float, str, bytes")
        ranges = [each for each in more if isinstance(each, Range)]
        found.append(_Argument(name, kind, ranges[0] if ranges else _WORD))
    return tuple(found)


@dataclass(frozen=True)
class Host:
    """An object of the checker's of which a learner's code may call the named methods, and nothing else.

    TypeError if a method leaves the type of an argument undeclared.
    """

    obj: Any
    methods: tuple[str, ...]
    _signatures: Mapping[str, tuple[_Argument, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        declared = {name: _declared(getattr(type(self.obj), name)) for name in self.methods}
        object.__setattr__(self, "_signatures", declared)

    def call(self, name: str, args: Sequence[Any]) -> Any:
        """Call a method; TypeError or ValueError for arguments that are not as it declares them."""
        declared = self._signatures[name]
        if len(args) != len(declared):
            names = ", ".join(each.name for each in declared)
            raise TypeError(f"{name}({names}) takes {len(declared)} arguments, not {len(args)}")
        checked = [each.checked(name, value) for each, value in zip(declared, args, strict=True)]
        return getattr(self.obj, name)(*checked)
