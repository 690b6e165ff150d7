"""A memory cgroup without limits, as cheap as Python allows: so that a benchmark measures the layer above it."""

from __future__ import annotations

__all__ = ["UnlimitedMemcg"]


class UnlimitedMemcg:
    """Implements `MemcgLike`; counts nothing but references to its id and physical slots."""

    id = 1

    def __init__(self) -> None:
        self.ids = self.slots = 0

    def get_id(self, nr: int) -> None:
        self.ids += nr

    def put_id(self, nr: int) -> None:
        self.ids -= nr

    def try_charge_swap(self, nr: int) -> bool:
        self.slots += nr
        return True

    def uncharge_swap(self, nr: int) -> None:
        self.slots -= nr

    def swap_full(self) -> bool:
        return False

    def may_zswap(self) -> bool:
        return True

    def zswap_disabled(self) -> bool:
        return False

    def charge_zswap(self, nr_bytes: int) -> None:
        pass

    def uncharge_zswap(self, nr_bytes: int) -> None:
        pass

    def zswap_writeback_enabled(self) -> bool:
        return True

    def count(self, item: str, nr: int = 1) -> None:
        pass
