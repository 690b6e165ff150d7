"""Questions in Chromium: by keyboard alone, every kind of feedback, answers that survive a reload, no fault for axe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.harness import Chromium, Tab, wait_until
from browser.viewkit import open_views, serious
from labkit import CHOOSE, COUNT, EXPLAIN, HINTS, ITEMS, NUMBER, ORDER, PREDICT

from vswaplab.lab import asked as asked_module
from vswaplab.lab.asked import Asked
from vswaplab.lab.checking import WORDS, check
from vswaplab.lab.progress import Progress
from vswaplab.lab.questions import Question, Task

pytestmark = pytest.mark.browser


def ask(question: Question) -> Asked:
    return Asked(question, Progress(None))


def told(tab: Tab, at: int = 0) -> tuple[str, str]:
    """Return the kind of feedback that a box shows, and its text."""
    box = tab.page.locator(".vswaplab-q-feedback").nth(at)
    return str(box.get_attribute("data-kind")), box.text_content() or ""


def says(tab: Tab, question: Question, answer: Any, at: int = 0) -> bool:
    """Tell whether a box shows what Python says to the answer."""
    said = check(question, answer)
    kind, text = told(tab, at)
    return kind == said.kind.value and said.message.replace("`", "") in text


def press(tab: Tab, *keys: str) -> None:
    for key in keys:
        tab.page.keyboard.press(key)


def test_a_choice_is_made_checked_and_made_again_by_keyboard(chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, ask(CHOOSE))
    options = list(CHOOSE.options)
    assert told(tab) == ("", "")
    press(tab, "Tab", "Tab", "Enter")  # the first option has the focus, then the button: nothing is chosen yet
    assert says(tab, CHOOSE, None)
    press(tab, "Shift+Tab", "Space", "Tab", "Enter")
    assert says(tab, CHOOSE, options[0])
    press(tab, "Shift+Tab", "ArrowDown")
    assert told(tab) == ("", "")  # what was said was said of another answer
    press(tab, "Enter")
    assert says(tab, CHOOSE, options[1])
    assert told(tab)[0] == "correct"
    tab.check()
    tab.page.context.close()


def test_hints_open_level_by_level_and_the_solution_after_an_attempt(chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, ask(CHOOSE))
    page = tab.page

    def visible() -> list[str]:
        return [each.inner_text() for each in page.locator("summary").all() if each.is_visible()]

    assert visible() == ["Hint 1 of 3: where to look", "Solution"]
    page.locator("summary").first.focus()
    press(tab, "Enter")
    wait_until(lambda: len(visible()) == 3, "the second hint", 5)
    assert page.get_by_text(HINTS[0]).is_visible()
    page.locator("summary").last.focus()
    press(tab, "Enter")
    page.get_by_text("Try first: any attempt opens this.").wait_for()
    assert page.get_by_text(CHOOSE.solution).count() == 0
    press(tab, "Tab", "Enter")
    page.get_by_text(CHOOSE.solution).wait_for()
    assert page.evaluate("document.querySelector('.vswaplab-question').player.given")["hints"] == 1
    tab.check()
    tab.page.context.close()


@pytest.mark.parametrize(
    ("question", "answer"),
    [(NUMBER, "24 B"), (NUMBER, "8"), (NUMBER, "24 KiB"), (NUMBER, "many"), (COUNT, "17,000 pages"), (COUNT, "17 000")],
)
def test_a_number_is_typed_and_answered_as_python_does(
    question: Question, answer: str, chromium: Chromium, tmp_path: Path
) -> None:
    tab = open_views(chromium, tmp_path, ask(question))
    press(tab, "Tab")
    tab.page.keyboard.type(answer)
    press(tab, "Enter")
    assert says(tab, question, answer)
    tab.check()
    tab.page.context.close()


def test_items_are_moved_by_keyboard_and_the_focus_goes_with_them(chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, ask(ORDER))
    page = tab.page

    def items() -> list[str]:
        return [each.text_content() or "" for each in page.locator(".vswaplab-q-items li > span:first-child").all()]

    given = items()
    assert sorted(given) == sorted(ITEMS)
    assert given != list(ITEMS)
    for place, item in enumerate(ITEMS):
        page.get_by_role("button", name=f"Move up: {item}").focus()
        press(tab, *(["Enter"] * (items().index(item) - place)))
        assert items()[place] == item
        focused = page.evaluate("document.activeElement.getAttribute('aria-label')")
        assert focused == f"Move up: {item}"
    page.get_by_role("button", name="Check").focus()
    press(tab, "Enter")
    assert says(tab, ORDER, list(ITEMS))
    assert told(tab)[0] == "correct"
    tab.check()
    tab.page.context.close()


def test_a_text_is_compared_with_the_rubric(chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, ask(EXPLAIN))
    rubric = tab.page.locator(".vswaplab-q-rubric")
    press(tab, "Tab")
    tab.page.keyboard.type("It grows")
    press(tab, "Tab", "Enter")
    assert told(tab)[0] == "missing"
    assert rubric.is_hidden()
    press(tab, "Shift+Tab", "End")
    tab.page.keyboard.type(" with the slots.")
    press(tab, "Tab", "Enter")
    assert told(tab)[0] == "keep working"
    for kind in ("keep working", "almost", "correct"):  # one point, two, all three
        rubric.locator("input:not(:checked)").first.focus()
        press(tab, "Space")
        tab.page.get_by_role("button", name="Check").focus()
        press(tab, "Enter")
        assert told(tab)[0] == kind
    tab.check()
    tab.page.context.close()


@pytest.fixture
def revealed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return a prediction that the run has answered, and the verdict that stands with the run."""
    views: list[Any] = []
    monkeypatch.setattr(asked_module, "display", views.append)
    prediction = ask(PREDICT)
    prediction.reveal("zswap")
    return [prediction, *views]


def test_a_prediction_is_recorded_changed_and_compared_with_the_run(
    revealed: list[Any], chromium: Chromium, tmp_path: Path
) -> None:
    tab = open_views(chromium, tmp_path, *revealed)
    page = tab.page
    assert "The run says" not in page.inner_text("body")
    press(tab, "Tab", "ArrowDown", "Tab", "Enter")
    assert told(tab) == ("recorded", f"Recorded. {WORDS['recorded']}")
    page.get_by_label("zswap").focus()
    press(tab, "Space", "Enter")
    page.get_by_label("disk").focus()
    press(tab, "Space", "Enter")
    assert told(tab)[0] == "recorded"
    page.get_by_role("button", name="Compare with the run").first.click()
    for at in (0, 1):
        assert says(tab, PREDICT.answered("zswap"), "disk", at)
    assert page.get_by_label("zswap").is_disabled()
    tab.check()
    tab.page.context.close()


def test_who_predicted_nothing_may_ask_what_the_run_says(
    revealed: list[Any], chromium: Chromium, tmp_path: Path
) -> None:
    tab = open_views(chromium, tmp_path, *revealed)
    tab.page.get_by_role("button", name="Show what the run says").click()
    for at in (0, 1):
        assert says(tab, PREDICT.answered("zswap"), None, at)
    tab.page.context.close()


def test_answers_survive_a_reload_until_one_starts_over(chromium: Chromium, tmp_path: Path) -> None:
    tab = open_views(chromium, tmp_path, ask(CHOOSE), ask(NUMBER))
    page = tab.page
    page.get_by_label("none").check()
    page.get_by_role("button", name="Check").first.click()
    page.get_by_role("textbox").fill("24")
    page.get_by_role("textbox").press("Enter")
    stored = page.evaluate("Object.keys(localStorage)")
    assert sorted(stored) == ["vswaplab:05/walk", "vswaplab:06/slot"]
    page.reload()
    page.locator(".vswaplab-question").nth(1).wait_for()
    assert says(tab, CHOOSE, "none", 0)
    assert says(tab, NUMBER, "24", 1)
    assert page.get_by_label("none").is_checked()
    page.get_by_role("button", name="Start over").first.click()
    assert told(tab, 0) == ("", "")
    page.reload()
    page.locator(".vswaplab-question").nth(1).wait_for()
    assert told(tab, 0) == ("", "")
    assert says(tab, NUMBER, "24", 1)
    tab.check()
    page.context.close()


def test_an_answer_to_another_question_of_the_same_name_is_not_shown(chromium: Chromium, tmp_path: Path) -> None:
    stored = '{"asked": "other", "answer": "none", "attempts": 3, "hints": 0, "shown": false, "revealed": false}'
    for value in (stored, "{", "null", "7"):
        tab = open_views(chromium, tmp_path, ask(CHOOSE))
        tab.page.evaluate("value => localStorage.setItem('vswaplab:05/walk', value)", value)
        tab.page.reload()
        tab.page.locator(".vswaplab-question").wait_for()
        assert told(tab) == ("", "")
        tab.check()
        tab.page.context.close()


def type_everything(tab: Tab) -> None:
    """Answer all questions of a page somehow and open all folds."""
    page = tab.page
    page.get_by_label("none").check()
    page.get_by_label("disk").check()
    page.get_by_role("textbox").first.fill("24 KiB")
    page.locator("textarea").fill("Both of them grow with the number of slots.")
    for button in page.locator(".vswaplab-q-main").all():
        button.click()
    for summary in page.locator("summary:visible").all():
        summary.click()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1040, 390])
def test_it_fits_and_axe_finds_no_serious_fault(
    theme: str, width: int, revealed: list[Any], chromium: Chromium, tmp_path: Path
) -> None:
    views = [*map(ask, (CHOOSE, NUMBER, ORDER, EXPLAIN)), *revealed]
    tab = open_views(chromium, tmp_path, *views, theme=theme, width=width)
    for act in (lambda _: None, type_everything):
        act(tab)
        assert serious(tab) == []
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    shapes = {tab.page.locator(f"[data-kind='{kind}'] svg").first.inner_html() for kind in ("keep working", "almost")}
    assert len(shapes) == 2
    tab.check()
    tab.page.context.close()


KERNEL = """([traits, id]) => {
  // A model with a kernel behind it, as anywidget gives it: what is saved is heard of, feedback comes back.
  const place = document.createElement("div"), heard = new Map();
  document.body.append(place);
  const model = { widget_manager: {}, saved: 0, get: (name) => traits[name], save_changes: () => { model.saved += 1; },
    set: (name, value) => { traits[name] = value; for (const each of heard.get(`change:${name}`) ?? []) each(); },
    on: (name, listener) => heard.set(name, [...(heard.get(name) ?? []), listener]), off: () => {} };
  const View = document.querySelector(".vswaplab-question").player.constructor;
  window.model = model;
  new View(model, place);
}"""


def in_lab(tab: Tab, view: Asked) -> Callable[[str], Any]:
    """Show a question as with a kernel, below the page's own; returns what sets one of its traits."""
    tab.page.evaluate(KERNEL, [{"header": view.header, "given": view.given, "feedback": view.feedback}, "x"])
    return lambda script: tab.page.evaluate(script)


def test_with_a_kernel_the_kernel_has_the_last_word(chromium: Chromium, tmp_path: Path) -> None:
    view = ask(NUMBER)
    tab = open_views(chromium, tmp_path, ask(CHOOSE))
    run = in_lab(tab, view)
    field = tab.page.get_by_role("textbox")
    field.fill("8")
    field.press("Enter")
    assert says(tab, NUMBER, "8", 1)
    assert run("[model.saved, model.get('given').answer, model.get('given').attempts]") == [1, "8", 1]
    run("model.set('feedback', {kind: 'almost', message: 'The kernel says so.', attempt: 1})")
    assert told(tab, 1) == ("almost", "Almost. The kernel says so.")
    run("model.set('header', {...model.get('header'), note: 'Not kept.'})")
    assert tab.page.get_by_text("Not kept.").is_visible()
    assert run("localStorage.length") == 0
    tab.page.context.close()


def test_in_the_lab_a_run_locks_the_prediction(chromium: Chromium, tmp_path: Path, revealed: list[Any]) -> None:
    view = ask(PREDICT)
    tab = open_views(chromium, tmp_path, ask(CHOOSE))
    run = in_lab(tab, view)
    tab.page.get_by_label("disk").check()
    tab.page.get_by_role("button", name="Record my prediction").click()
    assert told(tab, 1)[0] == "recorded"
    tab.page.evaluate("rules => model.set('header', {...model.get('header'), rules})", revealed[0].header["rules"])
    assert says(tab, PREDICT.answered("zswap"), "disk", 1)
    assert tab.page.get_by_label("disk").is_disabled()
    assert run("document.querySelectorAll('.vswaplab-q-main:not([hidden])').length") == 1  # the other question's
    tab.page.context.close()


def test_a_task_on_a_page_says_where_it_is_checked(chromium: Chromium, tmp_path: Path) -> None:
    task = Task(id="09/t", prompt="Write `f`.", checks=[("runs", lambda f: f(), "It does not.")], hints=HINTS)  # type: ignore[list-item]
    tab = open_views(chromium, tmp_path, ask(task))
    assert "start the lab with make lab" in told(tab)[1]
    assert tab.page.get_by_role("button").count() == 0
    assert serious(tab) == []
    tab.page.context.close()
