from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswaplab.errors import InvalidArgument
from vswaplab.mm.page_table import VPN_BITS, PageTable

VPNS = st.one_of(st.integers(0, 2000), st.integers(0, (1 << VPN_BITS) - 1), st.sampled_from([0, (1 << VPN_BITS) - 1]))


def expected_tables(held: dict[int, int]) -> int:
    return 1 + sum(len({vpn >> shift for vpn in held}) for shift in (9, 18, 27))


@given(st.lists(st.tuples(VPNS, st.integers(0, (1 << 64) - 1) | st.just(0))), st.lists(st.integers(0, 50)))
def test_a_page_table_is_a_dictionary_with_exactly_the_tables_its_ptes_need(
    sets: list[tuple[int, int]], drops: list[int]
) -> None:
    table, model = PageTable(), {}
    for vpn, pte in sets:
        table.set(vpn, pte)
        model[vpn] = pte
        if not pte:
            del model[vpn]
        assert table.get(vpn) == pte
    for at in drops:
        if model:
            vpn = sorted(model)[at % len(model)]
            table.set(vpn, 0)
            del model[vpn]
    assert list(table.walk()) == sorted(model.items())
    assert table.nr_tables == expected_tables(model)


@given(st.sets(st.integers(0, 3000)), st.integers(0, 3000), st.integers(0, 1200))
def test_ranges_see_the_same_ptes_as_single_gets(vpns: set[int], start: int, nr: int) -> None:
    table = PageTable()
    for vpn in vpns:
        table.set(vpn, vpn + 1)
    assert table.get_range(start, nr).tolist() == [table.get(vpn) for vpn in range(start, start + nr)]
    assert [vpn for vpn, _ in table.walk(start, start + nr)] == sorted(vpn for vpn in vpns if start <= vpn < start + nr)


def test_leaves_are_the_tables_themselves_512_ptes_of_64_bits() -> None:
    table = PageTable()
    table.set(512 * 7 + 3, 9)
    ((base, ptes),) = table.leaves()
    assert (base, ptes.dtype, len(ptes)) == (512 * 7, np.uint64, 512)
    ptes[4] = 8
    assert table.get(512 * 7 + 4) == 8


def test_a_page_beyond_48_bits_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="48-bit"):
        PageTable().set(1 << VPN_BITS, 1)


def test_a_walk_may_clear_what_it_was_given() -> None:
    table = PageTable()
    for vpn in range(0, 5000, 7):
        table.set(vpn, 1)
    seen = 0
    for vpn, _ in table.walk():
        table.set(vpn, 0)
        seen += 1
    assert seen == len(range(0, 5000, 7))
    assert table.nr_tables == 1
