"""Whose counter goes up when a folio and its entry belong to different cgroups: section 3.11 of docs/facts.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from mmkit import noise, text
from swapkit import Kit, KitFolio, LegacyKit

from vswaplab.mm.memcg import MemcgTable
from vswaplab.units import ZERO_PAGE
from vswaplab.workloads import replay as replay_module
from vswaplab.workloads.generators import with_writes, zipf

OWNER, PAYER = 2, 1
"""The cgroup that an entry names, and the one that pays for the folio that was read in for it."""

KITS = pytest.mark.parametrize("kit_of", [Kit, LegacyKit])


def read_by_another(kit: Any, entry: int) -> KitFolio:
    """Read an entry of OWNER's into a folio that PAYER pays for, as where OWNER is gone."""
    folio: KitFolio = kit.into_cache(entry)
    assert folio.memcg.id == PAYER
    kit.swap.swap_read_folio(folio)
    return folio


def counts(kit: Any, name: str) -> dict[int, int]:
    return {memcgid: memcg.counts[name] for memcgid, memcg in kit.memcgs.items() if memcg.counts[name]}


@KITS
@pytest.mark.parametrize("array", [False, True])
def test_a_zero_page_counts_as_gone_out_where_its_folio_is_paid_for(kit_of: type[Kit], array: bool) -> None:
    """``swap_zeromap_folio_set`` counts SWPOUT_ZERO by the folio's own cgroup [S10 S13]; the array form does too."""
    kit = kit_of(slots=64)
    entry = kit.swapped(ZERO_PAGE, memcg=OWNER)
    assert counts(kit, "swpout_zero") == {OWNER: 1}
    folio = read_by_another(kit, entry)
    if array:
        kit.swap.swap_zeromap_folio_set_many(np.array([entry], np.uint64), PAYER)
    else:
        kit.swap.swap_zeromap_folio_set(folio)
    assert counts(kit, "swpout_zero") == {OWNER: 1, PAYER: 1}
    assert kit.swap.lookup_swap_cgroup_id(entry) == OWNER


@KITS
def test_zero_pages_without_a_payer_are_counted_to_nobody(kit_of: type[Kit]) -> None:
    kit = kit_of(slots=64)
    entry = int(kit.out(ZERO_PAGE, memcg=OWNER).swap)
    kit.swap.swap_zeromap_folio_set_many(np.array([entry], np.uint64))
    assert counts(kit, "swpout_zero") == {}


@KITS
def test_what_a_device_gets_and_gives_is_counted_where_the_folio_is_paid_for(kit_of: type[Kit]) -> None:
    """PSWPOUT and PSWPIN are events of the folio's cgroup [S13]."""
    kit = kit_of(slots=64)
    folio = read_by_another(kit, kit.swapped(noise(1), memcg=OWNER))
    folio.dirty = True
    kit.swap.swap_writeout(folio)
    assert counts(kit, "pswpout") == {OWNER: 1, PAYER: 1}
    assert counts(kit, "pswpin") == {PAYER: 1}


@KITS
def test_what_zswap_gives_is_counted_where_the_compressed_copy_was_paid_for(kit_of: type[Kit]) -> None:
    """ZSWPOUT is an event of the folio's cgroup, ZSWPIN of the one that was charged for the compressed copy [S21]."""
    kit = kit_of(slots=64, zswap=True)
    folio = read_by_another(kit, kit.swapped(text(1), memcg=OWNER))
    assert counts(kit, "zswpin") == {OWNER: 1}
    kit.swap.swap_writeout(folio)
    assert counts(kit, "zswpout") == {OWNER: 1, PAYER: 1}


@KITS
def test_a_page_written_back_is_counted_where_the_compressed_copy_was_paid_for(kit_of: type[Kit]) -> None:
    """ZSWPWB [S21]."""
    kit = kit_of(slots=64, zswap=True)
    folio = read_by_another(kit, kit.swapped(text(1), memcg=OWNER))
    kit.swap.swap_writeout(folio)  # from now on PAYER pays for the compressed copy
    kit.swap.remove_mapping(folio)
    assert kit.swap.writeback(1) == 1
    assert counts(kit, "zswpwb") == {PAYER: 1}


@pytest.mark.parametrize("design", ["virtual", "legacy"])
@pytest.mark.parametrize("zswap", [None, {"compressor": "lz4"}])
@pytest.mark.parametrize("contents", [None, "mixed"])
def test_a_replay_counts_the_events_that_the_scalar_paths_count(
    design: str, zswap: dict[str, str] | None, contents: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []

    def table() -> MemcgTable:
        tables.append(MemcgTable())
        return tables[-1]

    monkeypatch.setattr(replay_module, "MemcgTable", table)
    pages: Any = None if contents is None else [ZERO_PAGE, *(text(i) for i in range(5)), noise(0)]
    trace = with_writes(zipf(200, 2000, seed=3), 0.3)
    report = replay_module.replay(trace, "128K", design, contents=pages, zswap=zswap)
    events = tables[0].root.events
    out, back = report.swap_outs, report.swap_ins
    assert events["swpout_zero"] == out["zero"]
    assert events["zswpout"] == out["zswap"]
    assert events["pswpout"] == out["swapfile"] + report.written_back
    assert [events[name] for name in ("swpin_zero", "zswpin", "pswpin")] == list(back.values())
    assert sum(out.values()) > 100
