"""Questions in front of a reader: answers arrive as from the view, are checked, kept, and found again."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from labkit import CHOOSE, EXPLAIN, HINTS, ITEMS, NUMBER, ORDER, PREDICT, answers

from vswaplab import lab
from vswaplab.errors import InvalidArgument
from vswaplab.lab import asked as asked_module
from vswaplab.lab.asked import Asked, digest
from vswaplab.lab.checking import Kind, check
from vswaplab.lab.progress import FILE_NAME, Progress
from vswaplab.lab.questions import Check, Task
from vswaplab.lab.tasks import run_task


@pytest.fixture(autouse=True)
def displayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Work in an empty folder; return what was displayed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VSWAPLAB_PROGRESS", raising=False)
    found: list[Any] = []
    monkeypatch.setattr(asked_module, "display", found.append)
    return found


def kept(folder: Path) -> Any:
    return json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))["answers"]


def test_nothing_is_written_before_somebody_answers(tmp_path: Path) -> None:
    lab.choose("05/walk", "How many?", {"all": True, "none": "Look again."})
    lab.fresh("05/walk")
    assert str(lab.progress()) == "No question answered yet."
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_checked_and_survives_a_restart(tmp_path: Path) -> None:
    first = Asked(CHOOSE, Progress(FILE_NAME))
    assert first.said is None
    assert first.answer("none").kind is Kind.KEEP_WORKING
    assert first.answer("as many as are mapped").kind is Kind.CORRECT
    first.given = {**first.given, "hints": 2, "shown": True}
    entry = kept(tmp_path)["05/walk"]
    assert entry["answer"] == "as many as are mapped"
    assert (entry["kind"], entry["attempts"], entry["hints"], entry["shown"]) == ("correct", 2, 2, True)
    assert entry["time"].startswith("20")
    again = Asked(CHOOSE, Progress(FILE_NAME))
    assert again.given["answer"] == "as many as are mapped"
    assert again.given["hints"] == 2
    assert again.said == first.said
    assert again.feedback["attempt"] == again.given["attempts"] == 2


def test_an_answer_to_other_numbers_is_not_taken_for_one_to_these(tmp_path: Path) -> None:
    options = {"1": True, "2": "No."}
    lab.choose("06/fresh", "Of 10?", options).answer("1")
    assert lab.choose("06/fresh", "Of 10?", options).given["answer"] == "1"
    assert lab.choose("06/fresh", "Of 11?", options).given["attempts"] == 0


def test_starting_over_forgets_one_question_alone(tmp_path: Path) -> None:
    first, second = Asked(CHOOSE), Asked(NUMBER)
    first.answer("none")
    second.answer("24")
    first.given = {"answer": None, "attempts": 0, "hints": 0, "shown": False, "revealed": False}
    assert list(kept(tmp_path)) == ["06/slot"]
    assert first.said is None


@pytest.mark.parametrize("question", [CHOOSE, NUMBER, ORDER, EXPLAIN])
def test_a_program_and_a_reader_are_told_the_same_of_any_answer(question: Any) -> None:
    """The checker is one; whatever arrives from a page, nothing is raised and what was kept can be read again."""
    asked = Asked(question, Progress(None))
    for answer in answers(nr=20):
        assert asked.answer(answer) == check(question, answer)
    on_disk = Asked(question, Progress(FILE_NAME))
    on_disk.answer({"text": "\ud800 half a pair", "met": ["slots"]})
    on_disk.answer("x" * 100_000)
    assert Progress(FILE_NAME).note == ""


def test_a_prediction_can_be_changed_until_the_run_has_spoken(tmp_path: Path, displayed: list[Any]) -> None:
    where = Asked(PREDICT)
    assert where.answer("disk").kind is Kind.RECORDED
    assert where.answer("zswap").kind is Kind.RECORDED
    assert "truth" not in json.dumps(where.given)
    where.reveal("zswap")
    said = where.said
    assert said is not None
    assert said.kind is Kind.CORRECT
    assert where.answer("disk") == said
    assert kept(tmp_path)["01/where"]["answer"] == "zswap"
    assert kept(tmp_path)["01/where"]["revealed"]
    assert displayed[0].feedback["message"] == said.message
    assert where.header["rules"]["truth"] == "zswap"


def test_without_a_prediction_the_run_still_says_what_it_says(tmp_path: Path) -> None:
    where = lab.predict("01/where", "Where?", {"zswap": "It comes first.", "disk": "It comes last."})
    where.reveal("disk")
    assert where.feedback["message"] == "No prediction was recorded. The run says: disk. It comes last."
    assert list(tmp_path.iterdir()) == []
    much = lab.predict("01/used", "How much?", unit="KiB")
    much.answer("1 MiB")
    much.reveal(1024)
    assert much.feedback["kind"] == "correct"
    with pytest.raises(InvalidArgument, match="is no prediction"):
        Asked(CHOOSE).reveal("none")


def test_options_are_marked_in_one_way_only() -> None:
    assert lab.choose("a", "?", {"x": "Yes.", "y": "No."}, answer="x").answer("x").message == "Yes."
    for options, answer in (({"x": "a", "y": "b"}, ""), ({"x": True, "y": True}, ""), ({"x": True, "y": "b"}, "x")):
        with pytest.raises(InvalidArgument, match="mark the right option"):
            lab.choose("a", "?", options, answer=answer)


def test_every_kind_is_one_call() -> None:
    made = [
        lab.number("a/n", "?", 4, unit="KiB", near={8: "Twice."}, hints=HINTS, solution="Four."),
        lab.order("a/o", "?", ITEMS, because={(ITEMS[0], ITEMS[1]): "Why?"}),
        lab.explain("a/e", "?", {"one": "Add one."}),
        lab.hints("a/h", HINTS, solution="    code"),
        lab.solution("a/s", "So."),
        lab.task("a/t", "?", [("runs", lambda f: f() is None, "It returns something.")]),
    ]
    for asked in made:
        json.dumps(asked.header)
        assert asked.plain()["view"] == "question"
    assert [digest(asked.question) for asked in made] == [asked.header["asked"] for asked in made]


# -- tasks -------------------------------------------------------------------------------------------------------------

HALF = Task(
    id="09/half",
    prompt="Halve.",
    checks=[
        Check("of 4", lambda f: f(4) == 2, "Half of 4 is 2."),
        Check("of 6", lambda f: f(6) == 3, "Half of 6 is 3."),
        Check("a whole number", lambda f: assert_int(f(2)), "Use //."),
    ],
    seconds=0.3,
)


def assert_int(value: object) -> None:
    assert isinstance(value, int), f"{value!r} is no whole number."


def forever(_: int) -> int:
    while True:
        with suppress(Exception):
            time.sleep(0.001)


def deeper(n: int) -> int:
    return deeper(n)


def leaves(_: int) -> int:
    raise SystemExit


@pytest.mark.parametrize(
    ("function", "kind", "part"),
    [
        (lambda n: n // 2, Kind.CORRECT, "3 of 3"),
        (lambda n: n / 2, Kind.ALMOST, "1.0 is no whole number."),
        (lambda n: 2, Kind.ALMOST, "Half of 6 is 3."),
        (lambda n: None, Kind.KEEP_WORKING, "Half of 4 is 2."),
        (lambda n: 1 // 0, Kind.KEEP_WORKING, "ZeroDivisionError"),
        (lambda: 1, Kind.KEEP_WORKING, "It raised TypeError"),
        (deeper, Kind.KEEP_WORKING, "calls itself without end"),
        (leaves, Kind.KEEP_WORKING, "ended the program"),
        (forever, Kind.KEEP_WORKING, "had not ended after 0.3 seconds"),
        (3, Kind.KEEP_WORKING, "no function but a int"),
    ],
)
def test_a_function_is_run_and_each_check_says_what_it_found(function: Any, kind: Kind, part: str) -> None:
    result = run_task(HALF, function)
    assert result.feedback.kind is kind
    assert part in result.feedback.message + "".join(each.message for each in result.results)
    assert [each.name for each in result.results] == ["of 4", "of 6", "a whole number"]
    assert all("\n" not in each.message for each in result.results)


def test_a_task_is_checked_kept_and_shown(tmp_path: Path, displayed: list[Any]) -> None:
    half = Asked(HALF)
    half.check(lambda n: n / 2)
    half.check(lambda n: n // 2)
    assert half.result is not None
    assert half.result.feedback.kind is Kind.CORRECT
    assert kept(tmp_path)["09/half"]["attempts"] == 2
    assert [row[1] for row in displayed[0].feedback["rows"]] == [True, True, False]
    assert str(run_task(HALF, lambda n: n // 2)).splitlines()[1] == "  passed  of 4"
    with pytest.raises(InvalidArgument, match="is no task"):
        Asked(CHOOSE).check(len)
