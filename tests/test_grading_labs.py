"""The course labs: solutions pass every check, stubs fail all of them, each check rejects wrong answers of its own."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from vswaplab.errors import NotFound
from vswaplab.lab.grading.counterexample import find_counterexample
from vswaplab.lab.grading.descriptor_lab import machine_with
from vswaplab.lab.grading.labs import LABS, REFERENCES, lab1, lab2, lab4
from vswaplab.lab.grading.model import grade_local, run_check
from vswaplab.lab.grading.remote import Local

Namespace = dict[str, Any]


def with_(reference: Callable[[], Namespace], **changed: Any) -> Namespace:
    return {**reference(), **changed}


# -- lab 1: wrong functions on 24 bytes ----------------------------------------------------------------------------


def looked(change: Callable[[Namespace], Any]) -> Namespace:
    """A lookup whose answer is spoilt."""
    right = lab1.reference()["lookup"]

    def lookup(desc: bytes) -> Any:
        found = right(desc)
        change(found)
        return found

    return with_(lab1.reference, lookup=lookup)


def field(name: str, value: Any) -> Namespace:
    return looked(lambda found: found.__setitem__(name, value))


def narrow(name: str, bits: int) -> Namespace:
    return looked(lambda found: found.__setitem__(name, found[name] & (1 << bits) - 1))


def flags(kind: Callable[[int], int], cached: Callable[[int], bool]) -> Namespace:
    def lookup(desc: bytes) -> Any:
        found, raw = lab1.reference()["lookup"](desc), int.from_bytes(desc[22:24], "little")
        return {**found, "type": kind(raw), "in_swapcache": cached(raw)}

    return with_(lab1.reference, lookup=lookup)


def stored(how: Callable[[bytes, int, int], Any]) -> Namespace:
    return with_(lab1.reference, store=how)


def loaded(how: Callable[[bytes], Any]) -> Namespace:
    return with_(lab1.reference, load=how)


def keep_old_type(desc: bytes, kind: int, handle: int) -> bytes:
    return struct.pack("<Q", handle) + desc[8:22] + bytes([desc[22] | kind << 1, desc[23]])


def half_a_handle(desc: bytes, kind: int, handle: int) -> bytes:
    return bytes(lab1.reference()["store"](desc, kind, handle & 0xFFFFFFFF))


def blank_the_rest(desc: bytes, kind: int, handle: int) -> bytes:
    return struct.pack("<Q", handle) + bytes(14) + struct.pack("<H", kind << 1 | desc[22] & 1)


def drop_the_pin(desc: bytes, kind: int, handle: int) -> bytes:
    return struct.pack("<Q", handle) + desc[8:22] + struct.pack("<H", kind << 1)


def stays_in_zswap(desc: bytes) -> Any:
    source, handle, _ = lab1.reference()["load"](desc)
    return source, handle, desc


def keeps_the_handle(desc: bytes) -> Any:
    source, handle, after = lab1.reference()["load"](desc)
    return source, handle, desc[:8] + after[8:]


def always_folio(desc: bytes) -> Any:
    source, handle, _ = lab1.reference()["load"](desc)
    return source, handle, lab1.reference()["store"](desc, 3, 0)


# -- lab 2: wrong allocators ---------------------------------------------------------------------------------------


def allocator(**methods: Any) -> Namespace:
    base: Any = lab2.reference()["Allocator"]
    return {"Allocator": type("Wrong", (base,), methods)}


def always_the_first(self: Any, order: int, cpu: int) -> int:
    return 0


def takes_two(self: Any, order: int, cpu: int) -> int:
    slot = lab2.reference()["Allocator"].alloc(self, order, cpu)
    lab2.reference()["Allocator"].alloc(self, order, cpu)
    return int(slot)


def scans_everything(self: Any, order: int, cpu: int) -> int:
    """Right, but it searches every cluster from the first on: slow, and CPUs share."""
    for cluster in range(self.nr):
        if self.order[cluster] in (-1, order):
            index = self.host.find_free(cluster, order)
            if index >= 0:
                self.order[cluster] = order
                return int(self.host.take(cluster, index, order))
    return -1


def forgets(self: Any, slot: int, order: int) -> None:
    """Nothing is given back."""


def gives_back_but_never_looks_again(self: Any, slot: int, order: int) -> None:
    self.host.give(*divmod(slot, 512), order)


def gives_up_without_a_fresh_cluster(self: Any, order: int, cpu: int) -> int:
    mine = self.cached.get((cpu, order), -1)
    if mine < 0 or not self._room(mine, order):
        mine = self.cached[cpu, order] = self._fresh(order)
    return self._take(mine, order) if mine >= 0 else -1


def one_cluster_each_time(self: Any, order: int, cpu: int) -> int:
    cluster = self._fresh(order)
    return self._take(cluster, order) if cluster >= 0 else self._steal(order)


def searches_twice(self: Any, cluster: int, order: int) -> int:
    self.host.find_free(cluster, order)
    return int(lab2.reference()["Allocator"]._take(self, cluster, order))


def order_0_alone(self: Any, order: int, cpu: int) -> int:
    return int(lab2.reference()["Allocator"].alloc(self, 0, cpu))


def mixed_orders(self: Any, order: int, cpu: int) -> int:
    index = self.host.find_free(0, order)
    return int(self.host.take(0, index, order)) if index >= 0 else -1


def one_order_for_good(self: Any, slot: int, order: int) -> None:
    kept = list(self.order)
    lab2.reference()["Allocator"].free(self, slot, order)
    self.order = kept


# -- lab 3: wrong swapoffs -----------------------------------------------------------------------------------------


def swapoff(
    *,
    cancel: bool = True,
    memory: bool = True,
    again: bool = True,
    walk: bool = False,
    says: str = "done",
    once: bool = True,
    upto: int = 1 << 30,
    every: int = 1,
) -> Namespace:
    """A swapoff with something left out."""

    def run(host: Any) -> str:
        if walk:
            host.walk_page_tables()
        seen = 0
        for slot in range(1, min(upto, host.nr_slots())):
            if not host.in_use(slot):
                continue
            seen += 1
            if cancel and seen % every == 0 and host.cancelled():
                return "interrupted"
            entry = host.entry(slot)
            for _ in range(1 if once else 2):
                try:
                    host.page_in(entry)
                except Exception:
                    if not memory:
                        raise
                    return "no memory"
            if not again or (host.in_use(slot) and host.entry(slot) == entry):
                host.keep_in_memory(entry)
        return says

    return {"swapoff": run}


def quiet(host: Any) -> str:
    """Swallows want of memory and goes on."""
    for slot in range(1, host.nr_slots()):
        if host.in_use(slot):
            if host.cancelled():
                return "interrupted"
            entry = host.entry(slot)
            try:
                host.page_in(entry)
                host.keep_in_memory(entry)
            except NotFound:
                continue
            except Exception:
                continue
    return "done"


def list_first(host: Any) -> str:
    """Makes its list at the beginning, and believes it."""
    todo = [(slot, host.entry(slot)) for slot in range(1, host.nr_slots()) if host.in_use(slot)]
    for _, entry in todo:
        if host.cancelled():
            return "interrupted"
        try:
            host.page_in(entry)
        except NotFound:
            return "no memory"
        except Exception:
            return "no memory"
        host.keep_in_memory(entry)
    return "done"


# -- lab 4: wrong policies -----------------------------------------------------------------------------------------


def policy(**methods: Any) -> Namespace:
    base: Any = lab4.reference()["Policy"]
    return {"Policy": type("Wrong", (base,), methods)}


def names_zero(self: Any) -> int:
    return 0


def names_what_left(self: Any, page: int) -> None:
    self.came_back[page] = 1


def youngest(self: Any) -> int:
    page = next(reversed(self.order))
    del self.order[page]
    return int(page)


def forgetful(self: Any) -> int:
    return int(next(iter(self.order)))


def spares_the_cold(self: Any) -> int:
    pages = sorted(self.order, key=lambda page: -self.came_back.get(page, 0))
    del self.order[pages[0]]
    return int(pages[0])


WRONG: dict[str, dict[str, list[Namespace]]] = {
    "lab1_resolve": {
        "lookup-fields": [field("handle", 0), looked(lambda found: found.pop("memcgid")), field("swap_count", 2)],
        "lookup-flags": [
            flags(lambda raw: raw >> 1, lambda raw: bool(raw & 1)),
            flags(lambda raw: raw >> 1 & 3, lambda raw: raw != 0),
        ],
        "lookup-large": [narrow("handle", 58), narrow("swap_count", 16), narrow("cache", 48)],
        "store-sets": [stored(keep_old_type), stored(half_a_handle), stored(lambda desc, kind, handle: desc)],
        "store-leaves": [stored(blank_the_rest), stored(drop_the_pin)],
        "load-place": [loaded(lambda desc: ("swapfile", 0, desc)), loaded(lambda desc: ("zswap", 31, desc))],
        "load-exclusive": [loaded(stays_in_zswap), loaded(keeps_the_handle), loaded(always_folio)],
        "one-page": [
            loaded(always_folio),
            stored(lambda desc, kind, handle: desc),
            loaded(lambda desc: ("zero", 0, desc)),
        ],
        "random-machine": [loaded(stays_in_zswap), stored(blank_the_rest)],
    },
    "lab2_allocate": {
        "first-slots": [allocator(alloc=always_the_first), allocator(alloc=takes_two)],
        "comes-back": [allocator(free=forgets), allocator(alloc=always_the_first)],
        "aligned": [allocator(alloc=order_0_alone), allocator(alloc=mixed_orders)],
        "per-cpu": [allocator(alloc=scans_everything), allocator(alloc=one_cluster_each_time)],
        "last-slot": [allocator(alloc=gives_up_without_a_fresh_cluster), allocator(_steal=lambda self, order: -1)],
        "any-order": [allocator(free=one_order_for_good), allocator(free=gives_back_but_never_looks_again)],
        "searches": [allocator(alloc=scans_everything), allocator(_take=searches_twice)],
        "fragmentation": [
            allocator(free=gives_back_but_never_looks_again),
            allocator(alloc=one_cluster_each_time),
        ],
    },
    "lab3_swapoff": {
        "empties": [swapoff(upto=5), swapoff(says="finished"), {"swapoff": lambda host: "done"}],
        "signal": [swapoff(cancel=False), swapoff(every=1000)],
        "no-walk": [swapoff(walk=True), swapoff(once=False)],
        "often": [swapoff(every=20), swapoff(cancel=False)],
        "memory": [swapoff(memory=False), {"swapoff": quiet}],
        "gone": [swapoff(again=False), {"swapoff": list_first}],
        "shared": [swapoff(once=False), swapoff(upto=10)],
    },
    "lab4_policy": {
        "there": [policy(victim=names_zero), policy(victim=forgetful)],
        "no-ghosts": [policy(loaded=names_what_left), policy(victim=forgetful)],
        "not-worse": [policy(victim=youngest), policy(victim=spares_the_cold)],
        "held-out-1": [policy(victim=youngest), policy(victim=spares_the_cold)],
        "held-out-2": [policy(victim=youngest), policy(victim=spares_the_cold)],
        "held-out-3": [policy(victim=youngest), policy(victim=spares_the_cold)],
    },
}


@pytest.mark.parametrize("name", LABS)
def test_the_solution_passes_every_check(name: str) -> None:
    outcomes = grade_local(LABS[name], REFERENCES[name](), hidden=True)
    assert [outcome.message for outcome in outcomes] == [""] * len(LABS[name].checks)
    assert sum(outcome.got for outcome in outcomes) == LABS[name].points == 20


@pytest.mark.parametrize("name", LABS)
def test_stubs_get_nothing(name: str) -> None:
    outcomes = grade_local(LABS[name], {}, hidden=True)
    assert not sum(outcome.got for outcome in outcomes)
    assert all(outcome.message.startswith("Write ") for outcome in outcomes)
    stubs = dict.fromkeys(LABS[name].entry, _stub)
    assert not sum(outcome.got for outcome in grade_local(LABS[name], stubs, hidden=True))


def _stub(*args: Any) -> Any:
    raise NotImplementedError


CONSTANTS = (
    *(None, True, False, 0, 1, -1, 511, 10**4000, 0.0, "", "done", "interrupted", "no memory", "zero", b"", bytes(24)),
    *([], {}, ("zero", 0, bytes(24)), ("swapfile", 0, bytes(24)), ("zswap", 31, bytes(24))),
)
"""What code returns that does nothing."""


def nothing(returned: Any, entry: str) -> Any:
    """A function, or a class all of whose methods are one, that does nothing and returns a constant."""
    if not entry[0].isupper():
        return lambda *args: returned
    methods: Namespace = dict.fromkeys(("alloc", "free", "stored", "loaded", "victim"), lambda *args: returned)
    return type(entry, (), {"__init__": lambda *args: None, **methods})


def identity(at: int, entry: str) -> Any:
    """As `nothing`, but an argument comes back."""

    def same(*args: Any) -> Any:
        return args[at] if -len(args) <= at < len(args) else None

    if not entry[0].isupper():
        return same
    methods: Namespace = dict.fromkeys(("alloc", "free", "stored", "loaded", "victim"), lambda self, *args: same(*args))
    return type(entry, (), {"__init__": lambda *args: None, **methods})


def counting(step: int, entry: str) -> Any:
    """As `nothing`, but a number that grows with each call: new slots each time, none of them taken."""
    seen = [-step]

    def count(*args: Any) -> int:
        seen[0] += step
        return seen[0]

    if not entry[0].isupper():
        return count
    methods: Namespace = dict.fromkeys(("alloc", "free", "stored", "loaded", "victim"), count)
    return type(entry, (), {"__init__": lambda *args: None, **methods})


@pytest.mark.parametrize("name", LABS)
def test_code_that_does_nothing_gets_no_point_of_any_check(name: str) -> None:
    """Constants of every kind, arguments handed back, counters: in each lab, for each check."""
    makers = [(nothing, CONSTANTS), (identity, (0, 1, 2, -1)), (counting, (1, 512, -1))]
    for maker, values in makers:
        for value in values:
            code = {entry: maker(value, entry) for entry in LABS[name].entry}
            outcomes = grade_local(LABS[name], code, hidden=True)
            assert [outcome.id for outcome in outcomes if outcome.got] == [], (maker.__name__, value)


@pytest.mark.parametrize("entry", LABS["lab1_resolve"].entry)
def test_one_function_that_does_nothing_gets_none_of_its_points(entry: str) -> None:
    """The other two are right: the checks of this one are not passed by what it hands back."""
    for maker, values in ((nothing, CONSTANTS), (identity, (0, 1, 2))):
        for value in values:
            code = {**lab1.reference(), entry: maker(value, entry)}
            outcomes = grade_local(LABS["lab1_resolve"], code, hidden=True)
            mine = [each for each in outcomes if each.id.startswith(entry)]
            assert mine
            assert [each.id for each in mine if each.got] == [], (maker.__name__, value)


@pytest.mark.parametrize("name", LABS)
def test_every_check_has_at_least_two_wrong_answers(name: str) -> None:
    assert set(WRONG[name]) == {check.id for check in LABS[name].checks}
    assert all(len(answers) >= 2 for answers in WRONG[name].values())


@pytest.mark.parametrize(
    ("name", "check", "at"),
    [
        (name, check, at)
        for name, checks in WRONG.items()
        for check, wrong in checks.items()
        for at in range(len(wrong))
    ],
)
def test_each_check_rejects_its_wrong_answers(name: str, check: str, at: int) -> None:
    lab = LABS[name]
    chosen = next(each for each in lab.checks if each.id == check)
    outcome = run_check(lab, chosen, Local(WRONG[name][check][at]))
    assert outcome.got == 0
    assert outcome.message


def test_visible_checks_alone_are_run_in_a_notebook() -> None:
    lab = LABS["lab1_resolve"]
    outcomes = grade_local(lab, REFERENCES["lab1_resolve"]())
    assert [outcome.id for outcome in outcomes] == [check.id for check in lab.checks if check.visible]
    assert any(not check.visible for check in lab.checks)


def test_a_counter_example_is_short_and_can_be_drawn() -> None:
    """A load that leaves its entry in zswap: the shortest run that shows it, with the trace for the stepper."""
    from vswaplab.widgets import Stepper

    wrong = Local(WRONG["lab1_resolve"]["random-machine"][0])
    found = find_counterexample(lambda **shape: machine_with(wrong, **shape), examples=5, steps=5)
    assert found is not None
    assert len(found.operations) <= 5
    assert found.trace is not None
    assert Stepper(found.trace).last > 0
    assert found.error in str(found)


def test_a_right_answer_has_no_counter_example() -> None:
    right = Local(lab1.reference())
    assert find_counterexample(lambda **shape: machine_with(right, **shape), examples=5, steps=8) is None


def test_a_better_policy_scores_more() -> None:
    lab = LABS["lab4_policy"]
    assert lab.score is not None
    good, bad = lab.score(Local(lab4.reference())), lab.score(Local(policy(victim=youngest)))
    assert good > 0 > bad
