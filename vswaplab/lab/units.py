"""Units that an answer may be given in: of size, of time, per cent, or a word such as PTEs.

>>> unit_factors("bytes")["kib"]
1024.0
>>> sorted(unit_factors("PTEs"))
['pte', 'ptes']
"""

from __future__ import annotations

from vswaplab.errors import InvalidArgument
from vswaplab.strict import quoted
from vswaplab.units import PAGE_SIZE

__all__ = ["unit_factors"]

_SIZE = {"b": 1.0, "byte": 1.0, "bytes": 1.0, "page": float(PAGE_SIZE), "pages": float(PAGE_SIZE)}
for _shift, _letter in ((10, "k"), (20, "m"), (30, "g"), (40, "t"), (50, "p")):  # K is 1024, as everywhere here
    _SIZE |= {_letter + _ending: float(1 << _shift) for _ending in ("", "b", "ib")}
_TIME = {"s": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
_SHARE = {"%": 1.0, "percent": 1.0, "per cent": 1.0}


def unit_factors(unit: str) -> dict[str, float]:
    """Return the units, in lower case, that an answer in `unit` may be given in, and each as a multiple of `unit`.

    InvalidArgument for a unit that could not be typed.
    """
    name = unit.lower() if isinstance(unit, str) else "?"
    for family in (_SIZE, _TIME, _SHARE):
        if name in family:
            return {each: factor / family[name] for each, factor in family.items()}
    if not name:
        return {}
    if len(name) > 24 or not all(part.isascii() and part.isalpha() for part in name.split(" ")):
        raise InvalidArgument(f"A unit is a word or two, such as bytes, KiB, ms, % or PTEs, not {quoted(unit)}.")
    return dict.fromkeys({name, name.removesuffix("s"), f"{name.removesuffix('s')}s"}, 1.0)
