"""Break-it mode: each rule that is taken away is caught by the invariant it names, and the place it names is broken."""

from __future__ import annotations

import pytest

from vswaplab import Machine
from vswaplab.errors import InvalidArgument, InvariantError, NotFound
from vswaplab.observe.audit import EDGES, PLACES, Finding, audit, locate
from vswaplab.observe.snapshot import live_state
from vswaplab.units import PAGE_SIZE
from vswaplab.workloads.break_it import STORY, BrokenRun, break_it
from vswaplab.workloads.broken_rules import RULES
from vswaplab.workloads.scenarios import run_scenario

CASES = [(rule.name, design) for rule in RULES.values() for design in rule.designs]


def found(run: BrokenRun) -> Finding:
    assert run.finding is not None
    return run.finding


def test_there_are_at_least_twelve_rules() -> None:
    assert len(RULES) >= 12
    assert sum("virtual" in rule.designs for rule in RULES.values()) >= 12


@pytest.mark.parametrize(("rule", "design"), CASES)
def test_each_fault_is_caught_by_the_invariant_it_names(rule: str, design: str) -> None:
    run = break_it(rule, design=design)
    finding = found(run)
    assert finding.invariant == RULES[rule].invariant[design]
    assert finding.edge == EDGES.get(finding.invariant, "account")
    assert finding.edge in PLACES
    trace = run.machine.trace
    assert trace is not None
    before = run.operations[-2][1] if len(run.operations) > 1 else 0
    assert 0 <= run.step < len(trace)
    assert run.operations[-1][1] == len(trace) > before
    run.close()


@pytest.mark.parametrize("design", ["virtual", "legacy"])
def test_the_same_story_is_sound_with_all_rules(design: str) -> None:
    run = run_scenario(STORY, design)
    assert audit(run.machine) is None
    assert run.pages_verified > 20
    run.machine.close()


@pytest.mark.parametrize(("rule", "design"), CASES)
def test_the_place_that_a_finding_names_is_there(rule: str, design: str) -> None:
    run = break_it(rule, design=design)
    finding = found(run)
    if finding.edge in ("pte", "backing", "swapcache", "rmap", "descriptor"):
        assert finding.entries or finding.ptes
    state = live_state(run.machine)
    for key in finding.ptes:
        assert key in state.ptes
    if finding.invariant == "swap-count-is-holders":
        for entry in finding.entries:
            assert state.slots[entry].swap_count != len(state.referrers(entry))
    run.close()


def test_a_fault_that_shows_in_the_trace_is_led_to_its_first_event() -> None:
    run = break_it("count-the-duplicate")
    trace = run.machine.trace
    assert trace is not None
    assert trace[run.step].event.name == "PTE_SWAP"  # where a sound run has the DUPLICATE
    assert run.operation == "fork parent child"
    run.close()


def test_only_its_own_machine_is_broken() -> None:
    run = break_it("drop-the-count")
    with Machine(ram="1M") as machine:
        app = machine.spawn("app")
        region = app.mmap(4 * PAGE_SIZE)
        app.write(region.start, b"x" * region.length)
        machine.reclaim()
        app.exit()
        machine.check()
    run.close()


def test_a_rule_that_is_not_there_or_not_in_the_design_is_one_sentence() -> None:
    with pytest.raises(NotFound, match="There is no rule 'gravity'; choose one of: count-the-duplicate"):
        break_it("gravity")
    with pytest.raises(InvalidArgument, match="The legacy design has no rule 'set-the-rmap'; choose design='virtual'"):
        break_it("set-the-rmap", design="legacy")


def test_a_scenario_that_never_misses_the_rule_ends_whole() -> None:
    run = break_it("count-the-duplicate", "one_page")
    assert run.finding is None
    assert run.step == -1
    run.close()


def test_an_invariant_that_speaks_of_a_page_is_led_to_its_page_table_entry() -> None:
    with Machine(ram="1M") as machine:
        app = machine.spawn("app")
        region = app.mmap(PAGE_SIZE)
        app.write(region.start, b"x")
        vpn = region.start // PAGE_SIZE
        error = InvariantError("no-such-rule", f"PTE of page {vpn:#x} of process {app.pid} is odd")
        assert locate(machine, error) == Finding("no-such-rule", error.detail, "account", (), ((app.pid, vpn),))
