"""Break-it mode as a view: what it tells the page, and what an answer is worth there."""

from __future__ import annotations

from pathlib import Path

import pytest
from nodekit import run_node

from vswaplab.errors import InvalidArgument
from vswaplab.widgets import BreakIt
from vswaplab.widgets.step_log import StepLog
from vswaplab.workloads.broken_rules import RULES

CASES = [(rule.name, design) for rule in RULES.values() for design in rule.designs]


@pytest.mark.parametrize(("rule", "design"), CASES)
def test_the_quiz_speaks_of_things_in_the_log(rule: str, design: str) -> None:
    view = BreakIt(rule, design=design)
    quiz, finding, universe = view.header["quiz"], view.run.finding, StepLog(_model(view)).model.layout.universe
    assert finding is not None
    assert [universe.entries[at] for at in quiz["entries"]] == list(finding.entries)
    assert [universe.ptes[at] for at in quiz["ptes"]] == list(finding.ptes)
    assert quiz["invariant"] in quiz["choices"]
    assert len(set(quiz["choices"])) == 8
    first, last = quiz["within"]
    assert 1 <= quiz["event"] <= last == view.last
    assert view.step == first - 1
    view.run.close()


def _model(view: BreakIt) -> object:
    from vswaplab.widgets.step_model import StepModel

    return StepModel(view.run.machine, every_event=True)


def test_what_an_answer_is_worth(tmp_path: Path) -> None:
    views = [BreakIt(rule, design=design) for rule, design in CASES]
    assert run_node(tmp_path, "VSWAPLAB_QUIZZES", [view.header["quiz"] for view in views], "brokencheck") >= 3 * len(
        CASES
    )
    for view in views:
        view.run.close()


def test_a_seed_chooses_the_rule_and_always_the_same() -> None:
    chosen = [BreakIt(seed=seed).run.rule.name for seed in (1, 1, 2, 3, 4, 5)]
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 2


def test_a_scenario_that_never_misses_the_rule_is_one_sentence() -> None:
    with pytest.raises(InvalidArgument, match="never misses the rule 'count-the-duplicate'; run 'parent_and_child'"):
        BreakIt("count-the-duplicate", "one_page")


def test_the_code_makes_the_run() -> None:
    view, known = BreakIt("set-the-rmap"), {}
    exec(view.code.replace("run.machine.check()", ""), known)
    assert known["run"].finding == view.run.finding
