"""The same pages with swapfiles of several sizes: where each design stops, and what the charts say of it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vswaplab.errors import InvalidArgument
from vswaplab.figures.swapfile_sizes_chart import pool_chart, sizes_table, swapfile_sizes_chart
from vswaplab.workloads.swapfile_sizes import SizeRow, pool_history, swapfile_sizes


@pytest.fixture(scope="module")
def rows() -> list[SizeRow]:
    return swapfile_sizes(sizes=(0, 16, 256, 1024), pages=1700)


def by_size(rows: list[SizeRow], design: str) -> dict[int, SizeRow]:
    return {row.swapfile_pages: row for row in rows if row.design == design}


def test_legacy_goes_as_far_as_its_slots_whatever_the_pool_could_take(rows: list[SizeRow]) -> None:
    legacy = by_size(rows, "legacy")
    assert (legacy[0].written, legacy[0].in_zswap, legacy[0].slots_used) == (1024, 0, 0), "as far as RAM"
    assert legacy[16].slots_used == 15
    assert legacy[16].slots_holding == 0, "full, and no slot holds a page"
    assert "there is no free swap slot" in legacy[16].why


def test_virtual_gets_further_with_the_same_swapfile_and_needs_none(rows: list[SizeRow]) -> None:
    legacy, virtual = by_size(rows, "legacy"), by_size(rows, "virtual")
    for size in (0, 16, 256):
        assert virtual[size].written > legacy[size].written
    assert virtual[0].in_zswap + virtual[0].zero > 0
    assert all(row.slots_used == row.slots_holding for row in virtual.values())


def test_with_slots_enough_both_finish(rows: list[SizeRow]) -> None:
    assert all(by_size(rows, design)[1024].finished for design in ("legacy", "virtual"))


def test_pool_stays_below_its_limit_and_goes_down_to_the_threshold_before_it_accepts_again() -> None:
    samples, limit, threshold = pool_history(pages=800, ram="1M", swapfile_pages=1024, every=1)
    assert max(sample.pool_pages for sample in samples) <= limit
    assert samples[-1].written_back > 0
    fell = [b.pool_pages for a, b in pairwise(samples) if b.written_back > a.written_back]
    assert min(fell) <= threshold


def test_with_one_limit_alone_the_worker_makes_no_room_and_the_limit_is_met_by_store_after_store() -> None:
    last = {percent: pool_history(accept_threshold_percent=percent)[0][-1] for percent in (90, 100)}
    assert last[100].written_back == 0 < last[90].written_back
    assert last[100].limit_hits > 5 * last[90].limit_hits > 0


def test_charts_say_the_same_in_words_and_as_a_table(rows: list[SizeRow]) -> None:
    figure = swapfile_sizes_chart(rows)
    assert "legacy: 1,024 with 0" in figure.layout.meta["alt"]
    lines = [trace for trace in figure.data if trace.mode == "lines+markers"]
    assert {tuple(line.y) for line in lines} >= {
        tuple(row.written for row in by_size(rows, d).values()) for d in ("legacy", "virtual")
    }
    assert len(sizes_table(rows).rows) == len(rows)
    samples, limit, threshold = pool_history(pages=300, ram="1M", swapfile_pages=512)
    assert f"The limit is {limit} pages" in pool_chart(samples, limit, threshold).layout.meta["alt"]


@pytest.mark.parametrize("bad", [{"pages": 0}, {"pages": 10**12}, {"sizes": [-1]}, {"sizes": [1]}, {"sizes": [10**12]}])
def test_sizes_that_cannot_be_meant_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument, match="give"):
        swapfile_sizes(**bad)  # type: ignore[arg-type]
