"""The folios of the swap cache, and what both designs keep count of around it.

Where the pointer of an entry's folio is kept differs (in the descriptor, or in the swap table of the slot's cluster);
that a folio in the swap cache bears its entry, a reference a page, and a flag does not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vswaplab.entry import swp_entry_t
from vswaplab.errors import InvalidArgument

if TYPE_CHECKING:
    from vswaplab.protocols import FolioLike, MemcgLike

__all__ = ["SwapCacheFolios"]


class SwapCacheFolios:
    """Folios in the swap cache by pointer, and the counts beside them."""

    def __init__(self) -> None:
        self.folios: dict[int, FolioLike] = {}
        """Folios in the swap cache, by pointer: what the design's words point to."""
        self.released: list[FolioLike] = []
        """Folios that an operation on an entry has dropped from the swap cache; the machine takes them from here."""
        self.bare_swapcached = 0
        """Pages in the swap cache known by pointer alone: array forms handle folios without objects."""
        self.nr_swapcached = 0
        """NR_SWAPCACHE: pages in the swap cache."""
        self.write_errors = 0
        """Pages whose write to a device failed; they stayed where they were."""
        self.storage_suspended = False
        """True while hibernation writes its image: no swap may be freed."""

    def _attach(self, folio: FolioLike, entry: int) -> None:
        folio.refcount += folio.nr_pages
        folio.in_swapcache = True
        folio.swap = swp_entry_t(entry)
        self.folios[folio.pointer] = folio
        self.nr_swapcached += folio.nr_pages

    def _detach(self, folio: FolioLike) -> int:
        entry, folio.swap = folio.swap, swp_entry_t(0)
        folio.refcount -= folio.nr_pages
        folio.in_swapcache = False
        del self.folios[folio.pointer]
        self.nr_swapcached -= folio.nr_pages
        return entry

    @staticmethod
    def _require(holds: bool, rule: str) -> None:
        if not holds:
            raise InvalidArgument(f"{rule}.")

    @staticmethod
    def _prefix(nr: int, holds: Callable[[int], bool]) -> int:
        return next((i for i in range(nr) if not holds(i)), nr)

    @staticmethod
    def _count(memcg: MemcgLike | None, item: str, nr: int) -> None:
        if memcg is not None:
            memcg.count(item, nr)
