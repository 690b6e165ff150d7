"""Views and questions where nothing draws them: words, the same at each save, that give nothing away."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbconvert import HTMLExporter, MarkdownExporter
from test_widgets_js import lived
from test_widgets_saving import VIEWS

from vswaplab import Machine
from vswaplab.export.static_outputs import make_static
from vswaplab.lab import open_stepper, questions
from vswaplab.lab.asked import Asked, header_of
from vswaplab.lab.progress import Progress
from vswaplab.lab.questions import Question
from vswaplab.lab.saved import drop_dead_views
from vswaplab.widgets import BreakIt, Stepper, SwapoffRace, VerdictView
from vswaplab.widgets.view import WORDS_CLASS, View

WIDGET = "application/vnd.jupyter.widget-view+json"
HINTS = ("SECRET hint one", "SECRET hint two", "SECRET hint three")
HELP: dict[str, Any] = {"hints": HINTS, "solution": "SECRET solution"}
ASKED: dict[str, tuple[Question, Any]] = {
    "choose": (
        questions.Choose(
            id="05/c", prompt="How <many>?", options={"none": "SECRET no", "all": "SECRET yes"}, right="all", **HELP
        ),
        "none",
    ),
    "number": (
        questions.Number(id="05/n", prompt="How large?", answer=24, unit="bytes", near={8: "SECRET"}, **HELP),
        "8",
    ),
    "order": (
        questions.Order(id="05/o", prompt="Which first?", items=["one", "two", "three"], **HELP),
        ["two", "one", "three"],
    ),
    "explain": (
        questions.Explain(id="05/e", prompt="Why?", rubric={"SECRET point": "SECRET add"}, words=2, **HELP),
        {"text": "Since it is so.", "met": []},
    ),
    "predict": (
        questions.Predict(
            id="05/p",
            prompt="Where?",
            asked=questions.Choose(id="05/p", prompt="Where?", options={"zswap": "SECRET z", "disk": "SECRET d"}),
            **HELP,
        ),
        "disk",
    ),
    "task": (
        questions.Task(
            id="05/t", prompt="Halve it.", checks=[questions.Check("of 3", lambda f: f(3) == 1, "SECRET")], **HELP
        ),
        None,
    ),
    "help": (questions.Help(id="05/h", prompt="Hints", **HELP), None),
}
"""A question of each kind, and a wrong answer that a learner may give."""

MADE: dict[str, Callable[[], View]] = {
    **VIEWS,
    "breakit": lambda: BreakIt("count-the-duplicate"),
    "token": lambda: open_stepper("vs1-0H79-ZPRB-1M1T-SRYY"),
    **{f"question {kind}": lambda kind=kind: ask(kind) for kind in ASKED},
    "verdict": lambda: VerdictView(header_of(ASKED["choose"][0]), {"kind": "almost", "message": "Look <again>."}),
}


def ask(kind: str) -> Asked:
    return Asked(ASKED[kind][0], Progress(None))


class _Text(HTMLParser):
    """The text of each paragraph of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.paragraphs: list[str] = []
        self.tags: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        assert attrs == ([("class", WORDS_CLASS)] if tag == "div" else [])
        if tag == "p":
            self.paragraphs.append("")
        elif tag == "br":
            self.paragraphs[-1] += "\n"

    def handle_data(self, data: str) -> None:
        self.paragraphs[-1] += data


def bundle(view: View) -> dict[str, Any]:
    found = view._repr_mimebundle_()
    assert found is not None
    return found[0]


def output(view: View) -> Any:
    return nbformat.v4.new_output("execute_result", data=bundle(view), execution_count=1)


def saved(view: View) -> Any:
    """Return a notebook as it is saved without the states of its widgets."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("view", outputs=[output(view)])])


# -- every view --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MADE)
def test_a_view_is_words_too(name: str) -> None:
    """Text and HTML say the same beside the widget: what it is, how it stands, what to do; twice made, the same."""
    view = MADE[name]()
    data = bundle(view)
    assert set(data) == {"text/plain", "text/html", WIDGET}
    text, html = data["text/plain"], _Text(data["text/html"])
    assert "\n".join(html.paragraphs) == text
    assert html.tags <= {"div", "p", "strong", "br"}
    assert text.splitlines()[-1].startswith("Run this cell again to ")
    assert text.startswith(view.title())
    assert not re.search(r" object at |0x[0-9a-f]{6}|[0-9a-f]{32}", text + repr(view) + str(view))
    again = bundle(MADE[name]())
    assert {**again, WIDGET: None} == {**data, WIDGET: None}


@pytest.mark.parametrize("name", MADE)
def test_a_saved_notebook_shows_the_words_once(name: str) -> None:
    """Without the states of widgets: as HTML and as Markdown by nbconvert, and on a forge, which takes HTML or text."""
    view = MADE[name]()
    last = view.words()[-1]
    for exporter in (HTMLExporter(), MarkdownExporter()):
        page, _ = exporter.from_notebook_node(saved(view))
        assert page.count(last) == 1, exporter
        assert " object at " not in page


@pytest.mark.parametrize("name", ["stepper", "explorer", "ledger", "question choose", "verdict"])
def test_a_page_without_a_kernel_has_the_player_and_not_the_words(name: str) -> None:
    view = MADE[name]()
    data = bundle(view)
    state = {**view.get_state(), **view.plain()}
    make_static(data, {view.model_id: state})
    assert "application/vswaplab+json" in data["text/html"]
    assert view.words()[-1] not in data["text/html"]


def test_a_view_moves_and_its_words_with_it() -> None:
    stepper = Stepper(lived("virtual"))
    before = bundle(stepper)["text/plain"]
    stepper.step = 3
    assert before != bundle(stepper)["text/plain"].replace("step 3", f"step {stepper.last}")
    assert repr(stepper) == f"Stepper: step 3 of {stepper.last}."


def test_a_view_of_a_trace_that_has_gone_on_is_words_still() -> None:
    machine = Machine(ram="1M", trace=64, seed=0)
    machine.swapon(size="1M")
    app = machine.spawn("app")
    app.touch(app.mmap("128K"), write=True)
    stepper = Stepper(machine, step=1)
    app.touch(app.mmap("512K"), write=True)
    machine.reclaim()
    assert bundle(stepper)["text/plain"].startswith("Stepper: step 1 of ")


def test_a_closed_view_and_one_that_is_being_made_are_no_addresses() -> None:
    stepper = Stepper(lived("virtual"))
    stepper.close()
    assert repr(stepper).startswith("Stepper: step ")
    assert repr(View()) == "View, not made yet."


def test_a_notebook_without_a_kernel_loses_the_widgets_that_have_words() -> None:
    """Neither those whose state is saved with the notebook, nor other people's."""
    view, kept = MADE["question choose"](), MADE["question order"]()
    notebook = saved(view)
    strange = nbformat.v4.new_output("display_data", data={WIDGET: {"model_id": "x"}, "text/html": "<p>Not ours.</p>"})
    notebook.cells[0].outputs += [output(kept), strange, nbformat.v4.new_output("stream", text="WORDS")]
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {kept.model_id: {}}}}
    drop_dead_views(notebook)
    first, second, third, _ = notebook.cells[0].outputs
    assert (set(first.data), WIDGET in second.data, WIDGET in third.data) == ({"text/plain", "text/html"}, True, True)
    nbformat.validate(notebook)


@pytest.mark.parametrize(
    "odd", [{}, {"cells": None}, {"cells": [{}], "metadata": None}, {"cells": [{"outputs": [{}]}]}]
)
def test_a_notebook_that_is_none_is_left_alone(odd: dict[str, Any]) -> None:
    before = repr(odd)
    drop_dead_views(odd)
    assert repr(odd) == before


# -- what is not given away --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ASKED)
def test_a_question_shows_its_prompt_and_gives_nothing_away(kind: str) -> None:
    question, _ = ASKED[kind]
    text = bundle(ask(kind))["text/plain"]
    assert question.prompt in text
    assert "SECRET" not in text
    assert "24" not in text
    if kind == "order":
        assert re.findall(r"^- (\w+)$", text, flags=re.MULTILINE) != ["one", "two", "three"]
    if kind in ("choose", "predict"):
        assert re.findall(r"^- (\w+)$", text, flags=re.MULTILINE) == list(getattr(question, "asked", question).options)


@pytest.mark.parametrize("kind", ["choose", "number", "order", "explain", "predict"])
def test_a_question_shows_the_answer_and_what_was_said_of_it(kind: str) -> None:
    """That was given before the cell ran, or after; hints and the solution stay closed."""
    asked = ask(kind)
    said = asked.answer(ASKED[kind][1])
    text = bundle(asked)["text/plain"]
    shown = {"order": "two, one, three", "explain": "Since it is so."}.get(kind, ASKED[kind][1])
    assert f"Your answer: {shown}\n" in text
    assert f"{said.kind.value.capitalize()}. {said.message}" in text
    for secret in (*HINTS, "SECRET solution", "SECRET yes", "SECRET z", "24"):
        assert secret not in text


def test_a_verdict_says_what_the_run_said_and_which_checks_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[View] = []
    monkeypatch.setattr("vswaplab.lab.asked.display", shown.append)
    predicted, halved = ask("predict"), ask("task")
    predicted.answer("disk")
    predicted.reveal("zswap")
    halved.check(lambda number: number / 2)
    assert "You predicted: disk. The run says: zswap. SECRET d\n" in bundle(shown[0])["text/plain"]
    assert "0 of 1 checks passed" in bundle(shown[1])["text/plain"]
    assert "failed: of 3, SECRET\n" in bundle(shown[1])["text/plain"]


@pytest.mark.parametrize(
    "answer",
    [
        "<script>alert(1)</script>",
        "\ud800",
        "x" * 100_000,
        {"text": 3},
        {"text": "a & b\nc"},
        [["nested"]],
        10**400,
        None,
    ],
    ids=lambda answer: type(answer).__name__,
)
@pytest.mark.parametrize("kind", ["choose", "number", "order", "explain"])
def test_whatever_is_answered_is_words_a_file_can_hold(kind: str, answer: Any) -> None:
    asked = ask(kind)
    asked.answer(answer)
    data = bundle(asked)
    assert len(data["text/plain"].encode()) < 10_000
    assert _Text(data["text/html"]).tags <= {"div", "p", "strong", "br"}
    assert data["text/plain"] == "\n".join(_Text(data["text/html"]).paragraphs)


def test_a_broken_rule_and_the_end_of_a_race_are_not_told() -> None:
    hidden = BreakIt("count-the-duplicate")
    finding = hidden.run.finding
    assert finding is not None
    text = bundle(hidden)["text/plain"]
    for secret in (
        hidden.run.rule.says,
        hidden.run.rule.without,
        finding.invariant,
        finding.detail,
        "count-the-duplicate",
    ):
        assert secret not in text
    numbers = re.findall(r"[0-9,]+[0-9]|[0-9]", bundle(SwapoffRace(16, "2M", 1))["text/plain"])
    assert numbers == ["0", "200", "16", "512", "1"]


# -- the notebooks -----------------------------------------------------------------------------------------------------


def seen(output: Any) -> list[str]:
    """Return what a reader without widgets may see of an output: its HTML if it has some, else its text."""
    data = output.get("data", {})
    texts = [data.get("text/html") or data.get("text/plain", ""), output.get("text", "")]
    return [str(text) for text in texts] + ([str(data["text/plain"])] if WIDGET in data else [])


@pytest.mark.notebook
def test_no_output_of_a_notebook_is_an_address(site: Path, root: Path) -> None:
    """Of each lesson as it was executed for the site: no object shows where it lies, and every view has its words."""
    assert site.exists()
    executed = sorted((root / "build" / "executed").glob("*.ipynb"))
    assert len(executed) == len(list((root / "notebooks").glob("*.ipynb")))
    for path in executed:
        notebook = nbformat.read(path, as_version=4)
        outputs = [each for cell in notebook.cells for each in cell.get("outputs", ())]
        addresses = [text for each in outputs for text in seen(each) if re.search(r" at 0x[0-9a-f]+>", text)]
        assert addresses == [], path.name
        shown = [each.data for each in outputs if WIDGET in each.get("data", {})]
        assert shown
        assert [data for data in shown if "Run this cell again" not in data.get("text/html", "")] == [], path.name
