"""Checking: what is right, what is nearly right, what is said to each; the same in Python and on a page."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from labkit import (
    BARE,
    CHOOSE,
    COUNT,
    EXPLAIN,
    HINTS,
    ITEMS,
    NUMBER,
    ORDER,
    PLAIN_ORDER,
    PREDICT,
    PREDICT_NUMBER,
    QUESTIONS,
    SHARE,
    SIZE,
    answers,
)
from test_widgets_js import JS_TESTS, NODE

from vswaplab.errors import InvalidArgument
from vswaplab.lab.checking import WORDS, Feedback, Kind, check, rules
from vswaplab.lab.fresh import draws, shuffled
from vswaplab.lab.questions import Check, Choose, Explain, Help, Number, Order, Question, Task

MISSING, KEEP, ALMOST, CORRECT = Kind.MISSING, Kind.KEEP_WORKING, Kind.ALMOST, Kind.CORRECT


@pytest.mark.parametrize(
    ("question", "answer", "kind", "part"),
    [
        (CHOOSE, "as many as are mapped", CORRECT, WORDS["right"]),
        (CHOOSE, "none", KEEP, "Virtual."),
        (CHOOSE, None, MISSING, "Choose"),
        (CHOOSE, "neither", MISSING, "Choose"),
        (NUMBER, "24", CORRECT, ""),
        (NUMBER, "24 B", CORRECT, ""),
        (NUMBER, "24 bytes", CORRECT, ""),
        (NUMBER, "8", KEEP, "That is the swap table."),
        (NUMBER, "8 bytes", KEEP, "That is the swap table."),
        (NUMBER, "24 KiB", ALMOST, "factor of 1,024"),
        (NUMBER, "24 ms", ALMOST, "Which unit?"),
        (NUMBER, "12 ms", KEEP, "Which unit?"),
        (NUMBER, "23", ALMOST, "Close"),
        (NUMBER, "100", KEEP, "Not that"),
        (NUMBER, "", MISSING, "Write a number"),
        (NUMBER, "twenty-four", MISSING, "Write a number"),
        (SIZE, "32", CORRECT, "One byte a slot."),
        (SIZE, "33,554,432 B", CORRECT, ""),
        (SIZE, "8192 pages", CORRECT, ""),
        (SIZE, "33", CORRECT, ""),  # within 5 %
        (SIZE, "32 GiB", ALMOST, "factor"),
        (SHARE, "39.7 %", CORRECT, ""),
        (SHARE, "40.2", CORRECT, ""),
        (SHARE, "39,7", MISSING, "Write a number"),  # a comma parts thousands
        (COUNT, "17,000 PTEs", CORRECT, ""),
        (COUNT, "17 000", CORRECT, ""),
        (COUNT, "17000 pages", ALMOST, "Which unit? The answer is in PTEs."),
        (BARE, "\u22123", CORRECT, ""),
        (BARE, "-3 KiB", ALMOST, "no unit"),
        (ORDER, list(ITEMS), CORRECT, ""),
        (ORDER, [ITEMS[1], ITEMS[0], *ITEMS[2:]], ALMOST, "Who asks for an entry?"),
        (ORDER, list(reversed(ITEMS)), KEEP, "Who asks for an entry?"),
        (PLAIN_ORDER, list(ITEMS), CORRECT, "So it goes."),
        (PLAIN_ORDER, [*ITEMS[:2], ITEMS[3], ITEMS[2]], ALMOST, "All but one"),
        (PLAIN_ORDER, [ITEMS[0], *reversed(ITEMS[1:])], KEEP, "In place from the top: 1."),
        (PLAIN_ORDER, list(reversed(ITEMS)), KEEP, "The first one"),
        (ORDER, list(ITEMS[:3]), MISSING, "Put the items"),
        (EXPLAIN, {"text": "It grows", "met": []}, MISSING, "3 words"),
        (EXPLAIN, {"text": "Both grow with slots", "met": []}, KEEP, WORDS["tick"]),
        (EXPLAIN, {"text": "Both grow with slots", "met": ["slots"]}, KEEP, "Say what stays."),
        (EXPLAIN, {"text": "Both grow with slots", "met": ["slots", "so"]}, ALMOST, "Say what stays."),
        (EXPLAIN, {"text": "Both grow with slots", "met": ["slots", "so", "ratio"]}, CORRECT, ""),
        (PREDICT, "disk", Kind.RECORDED, "until the run"),
        (PREDICT, "", MISSING, "Choose"),
        (PREDICT.answered("zswap"), "disk", KEEP, "You predicted: disk. The run says: zswap. It comes last."),
        (PREDICT.answered("zswap"), "zswap", CORRECT, "As you predicted: zswap. It comes first."),
        (PREDICT.answered("zswap"), None, MISSING, "No prediction was recorded. The run says: zswap. It comes first."),
        (PREDICT_NUMBER, "512", Kind.RECORDED, ""),
        (PREDICT_NUMBER, "many", MISSING, "Write a number"),
        (PREDICT_NUMBER.answered(768), "512", KEEP, "You predicted: 512. The run says: 768 KiB. And zeros?"),
        (PREDICT_NUMBER.answered(768), "0.75 M", CORRECT, "As you predicted: 0.75 M."),
        (PREDICT_NUMBER.answered(512), "512", CORRECT, "As you predicted: 512."),  # a known error that was the truth
    ],
)
def test_each_answer_has_its_kind_and_its_message(question: Question, answer: Any, kind: Kind, part: str) -> None:
    said = check(question, answer)
    assert said.kind is kind
    assert part in said.message


def test_a_page_says_the_same_as_python_to_every_answer(tmp_path: Path) -> None:
    cases = [
        {"rules": rules(question), "answer": answer, "said": check(question, answer).as_dict()}
        for question in QUESTIONS
        for answer in answers()
    ]
    kinds = {case["said"]["kind"] for case in cases}
    assert kinds == {kind.value for kind in Kind}
    path = tmp_path / "cases.json"
    path.write_text(json.dumps({"words": WORDS, "cases": cases}), encoding="utf-8")
    run = subprocess.run(
        [NODE, "--disable-warning=MODULE_TYPELESS_PACKAGE_JSON", "--test", JS_TESTS / "question.test.mjs"],
        env={**os.environ, "VSWAPLAB_QUESTION_CASES": str(path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(QUESTIONS), _JSON | st.fixed_dictionaries({"text": _JSON, "met": _JSON}))
def test_whatever_is_given_one_feedback_comes_back(question: Question, answer: Any) -> None:
    said = check(question, answer)
    assert isinstance(said, Feedback)
    assert said.message


@given(st.floats(1e-6, 1e12), st.sampled_from(["B", "KiB", "MiB", "pages"]))
def test_a_size_is_right_in_every_unit_of_size(size: float, unit: str) -> None:
    factors = {"B": 1, "KiB": 1024, "MiB": 1 << 20, "pages": 4096}
    question = Number(id="x", prompt="?", answer=size, unit="bytes", tolerance="0.1%")
    text = f"{size / factors[unit]:.9e} {unit}"
    assert check(question, text).kind is CORRECT


@given(st.permutations(ITEMS))
def test_an_order_is_correct_only_if_it_is_the_order(given: list[str]) -> None:
    assert (check(PLAIN_ORDER, given).kind is CORRECT) == (given == list(ITEMS))


def test_items_are_shown_out_of_order_and_always_the_same_way() -> None:
    for length in range(3, 8):
        items = [str(i) for i in range(length)]
        shown = shuffled(items, f"q{length}")
        assert shown != items
        assert sorted(shown) == items
        assert shown == shuffled(items, f"q{length}")


def test_fresh_numbers_follow_seed_and_question() -> None:
    def row(question: str, seed: int) -> list[int]:
        generator = draws(question, seed)
        return [generator.randrange(1 << 30) for _ in range(4)]

    assert row("06/a", 1) == row("06/a", 1)
    assert len({tuple(row(question, seed)) for question in ("06/a", "06/b") for seed in range(3)}) == 6
    assert draws("06/a", 1).randrange(1000) == 774  # on every machine, in every version


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda: Help(id="Not An Id", prompt=""), "notebook/question"),
        (lambda: Help(id="a", prompt="", hints=["one"]), "3 levels"),
        (lambda: Help(id="a", prompt="", hints="abc"), "3 levels"),
        (lambda: Choose(id="a", prompt="", options={"x": "y", "z": ""}, right="x"), "message of its own"),
        (lambda: Choose(id="a", prompt="", options={"x": "y"}), "two or more"),
        (lambda: Choose(id="a", prompt="", options={"x": "y", "z": "w"}, right="v"), "not one of the options"),
        (lambda: Number(id="a", prompt="", answer=float("nan")), "answer must be"),
        (lambda: Number(id="a", prompt="", answer=1, tolerance="five"), "tolerance"),
        (lambda: Number(id="a", prompt="", answer=1, unit="1/s"), "A unit is"),
        (lambda: Number(id="a", prompt="", answer=10, tolerance=2, near={11: "x"}), "within the tolerance"),
        (lambda: Order(id="a", prompt="", items=["x", "y"]), "three or more"),
        (lambda: Order(id="a", prompt="", items=["x", "y", "y"]), "none of them twice"),
        (lambda: Order(id="a", prompt="", items=["x", "y", "z"], because={("z", "x"): "?"}), "does not come before"),
        (lambda: Explain(id="a", prompt="", rubric={}), "rubric"),
        (lambda: Task(id="a", prompt="", checks=[]), "checks are"),
        (lambda: Task(id="a", prompt="", checks=[Check("x", len, "")]), "checks are"),
        (lambda: PREDICT.answered("elsewhere"), "not one of the options"),
        (lambda: PREDICT_NUMBER.answered("many"), "what the run says must be"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_in_one_sentence(make: Any, part: str) -> None:
    with pytest.raises(InvalidArgument, match=part):
        make()


def test_hints_are_three_levels() -> None:
    assert list(Help(id="a", prompt="", hints=HINTS).hints) == HINTS
