"""The ledger as terms: equal to the published table, to measured structures, and to the proposals' own sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vswaplab.errors import InvalidArgument
from vswaplab.observe.ledger import measure, xarray_nodes
from vswaplab.observe.ledger_build import Population, rows_of
from vswaplab.observe.ledger_claims import crossover
from vswaplab.observe.ledger_designs import BACKENDS, DESIGNS, PUBLISHED, Backend
from vswaplab.observe.ledger_mix import MIX_TERMS, Mix, _map_nodes, _tree_nodes, mix_crossover, mix_ledger, mix_terms
from vswaplab.observe.ledger_model import AS_ALLOCATED, AS_POSTED, MIB, MODES, Mode

SLOTS = 1 << 16
ONE_MORE = {"swap_table": 4096, "zswap_tree": 3 * 576, "swp_desc": 12288, "vswap_cluster": 112, "rmap": 4096}
ONE_MORE |= {"vswap_cluster_map": 2 * 576}
"""What slot 0, which is no entry, may add to a measured ledger as allocated: a cluster, and nodes."""


@pytest.mark.parametrize("at", list(PUBLISHED))
def test_every_published_cell_is_exact(at: tuple[str, Backend]) -> None:
    design, backend = at
    for usage, mib in PUBLISHED[at].items():
        assert mix_ledger(design, Mix(**{backend: 100}), usage).mib == mib


@pytest.mark.parametrize("design", ["legacy", "virtual"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", MODES)
def test_terms_are_what_is_measured(design: str, backend: Backend, mode: Mode) -> None:
    """Structure by structure, packed and with one live slot a cluster; static arrays to the byte as allocated."""
    for layout, live_per_cluster in (("dense", 512), ("sparse", 1)):
        mix = Mix(slots=SLOTS, live_per_cluster=live_per_cluster, mode=mode, **{backend: 100})
        for row in rows_of(design, backend, SLOTS, (0, 3, 50, 100), mode, layout):
            usage = 100 * min(1.0, row.ledger.live / mix.most_live)
            found = mix_ledger(design, mix, usage).structures
            for name, line in row.ledger.structures.items():
                own = found[name].bytes if name in found else 0
                if mode == AS_POSTED:
                    assert abs(line.bytes - own) <= 8 * line.unit_bytes + 64, (name, row.usage)
                elif line.static:
                    assert line.bytes == own, (name, row.usage)
                else:
                    assert 0 <= line.bytes - own <= ONE_MORE.get(name, 0), (name, row.usage, line.bytes, own)
            assert set(found) - set(row.ledger.structures) <= {"allocated", "bad_map", "rmap", "swap_cluster_info"}
            assert not any(found[name].bytes for name in set(found) - set(row.ledger.structures))


def test_a_mix_in_one_live_space_is_the_sum_of_its_backings() -> None:
    """Entries whose zswap part is gone leave as many tables of rmap words as the disk part alone has."""
    mix = Mix(slots=SLOTS, zswap=60, disk=40, mode=AS_ALLOCATED)
    made = Population("virtual", SLOTS, "disk")
    made.resize(mix.live_at(50))
    here = mix.backings(made.live)
    made.swap.swap_free_many(made.entries[: here["zswap"]].copy())
    measured = measure(made.swap, AS_ALLOCATED).structures["rmap"].bytes
    assert abs(measured - mix_ledger("virtual", mix, 50).structures["rmap"].bytes) <= 2 * 4096


@pytest.mark.parametrize("name", list(DESIGNS))
@pytest.mark.parametrize("usage", [0, 25, 100])
def test_designs_that_are_not_built_cost_the_same_as_their_own_formula(name: str, usage: int) -> None:
    made = DESIGNS[name]
    for backend in made.backends:
        mix = Mix(slots=SLOTS, **{backend: 100})
        live = mix.live_at(usage)
        units = mix.units(live, "virtual")
        for mode in MODES:
            total = made.bytes_for(backend, SLOTS, live, mode)
            assert sum(term.line(units).bytes for term in mix_terms(made, mode)) == total


@given(entries=st.integers(0, 6000), live=st.integers(1, 512))
def test_tree_nodes_are_those_of_the_indexes(entries: int, live: int) -> None:
    clusters = [(at // live, at % live) for at in range(entries)]
    trees: dict[int, list[int]] = {}
    for cluster, at in clusters:
        trees.setdefault(cluster // 32, []).append(cluster % 32 * 512 + at)
    assert _tree_nodes(entries, live) == sum(xarray_nodes(tree) for tree in trees.values())


@pytest.mark.parametrize("nr", [0, 1, 2, 64, 65, 4096, 4097, 300_000])
def test_map_nodes_are_those_of_the_clusters(nr: int) -> None:
    assert _map_nodes(nr) == xarray_nodes(range(nr))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_crossovers_are_those_of_live_structures(mode: Mode, backend: Backend) -> None:
    found = crossover(backend, SLOTS, mode)
    own = mix_crossover(Mix(slots=SLOTS, mode=mode, **{backend: 100}))
    assert own is not None
    assert found.live is not None
    assert abs(own - found.live) <= (0.02 * SLOTS if mode == AS_ALLOCATED else 8)


@given(
    zero=st.integers(0, 100),
    rest=st.integers(0, 100),
    usage=st.integers(0, 100),
    live=st.sampled_from([1, 7, 64, 511, 512]),
    mode=st.sampled_from(MODES),
)
def test_a_mix_is_exactly_the_sum_of_its_backings(zero: int, rest: int, usage: int, live: int, mode: Mode) -> None:
    """Dynamic terms of the mix are those of each backing alone; the cluster map alone is one tree for all."""
    zswap = (100 - zero) * rest // 100
    mix = Mix(slots=SLOTS, zero=zero, zswap=zswap, disk=100 - zero - zswap, live_per_cluster=live, mode=mode)
    here = mix.backings(mix.live_at(usage))
    assert sum(here.values()) == mix.live_at(usage)
    for design in ("legacy", "virtual"):
        whole = {name: line.bytes for name, line in mix_ledger(design, mix, usage).structures.items()}
        parts = [
            Mix(slots=SLOTS, live_per_cluster=live, mode=mode, **{name: 100}).units(nr, design)
            for name, nr in here.items()
        ]
        for term in MIX_TERMS[design, mode]:
            if term.name != "vswap_cluster_map" and not term.line(parts[0]).static:
                assert whole[term.name] == sum(term.line(units).bytes for units in parts)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_crossover_with_mainline_is_that_of_live_structures(backend: Backend) -> None:
    found = crossover(backend, SLOTS, baseline="7.2")
    own = mix_crossover(Mix(slots=SLOTS, **{backend: 100}), "7.2")
    assert own is not None
    assert found.live is not None
    assert abs(own - found.live) <= 8


def test_zero_pages_cost_the_posted_descriptor_and_word_alone() -> None:
    mix = Mix(zero=100)
    for design, each in (("legacy", 8.0), ("virtual", 24.125)):
        grown = mix_ledger(design, mix, 100).total_bytes - mix_ledger(design, mix, 0).total_bytes
        assert grown == each * mix.slots


def test_a_swapfile_kept_on_costs_its_bitmaps() -> None:
    without, with_it = (mix_ledger("virtual", Mix(zswap=100, swapfile=on), 0) for on in (False, True))
    assert (without.mib, with_it.mib) == (0.0, 2.0)
    assert with_it.total_bytes == 2 * MIB


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"zswap": 99}, "must add up to 100 %, not 99 %"),
        ({"slots": 1000, "zswap": 100}, "no whole clusters"),
        ({"live_per_cluster": 0, "zswap": 100}, "live_per_cluster"),
        ({"mode": "as wished", "zswap": 100}, "as posted"),
    ],
)
def test_what_can_t_be_meant_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        Mix(**given)  # type: ignore[arg-type]
