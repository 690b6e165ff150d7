"""A learner's path through 00 and 03 in JupyterLab, by keyboard alone: no click, and answers outlive a restart."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser.harness import Chromium, Lab, OpenNotebook, Tab, wait_until

from vswaplab.lab.progress import FILE_NAME

pytestmark = pytest.mark.browser

QUESTION = re.compile(r"\b(choose|explain|number|order|predict)\(\s*\"(\d\d/[a-z0-9-]+)\"")
FOCUS = """(selector) => {
    const cell = document.activeElement.closest(".jp-Cell");
    return [document.activeElement.matches(selector), cell ? cell.dataset.windowedListIndex : ""];
}"""


class Learner:
    """Hands on a keyboard: runs cells, goes into what they show, answers, and goes on."""

    def __init__(self, tab: Tab, lab: Lab, name: str) -> None:
        self.lab, self.page, self.press = lab, tab.page, tab.page.keyboard.press
        self.cells = nbformat.read(lab.folder / name, as_version=4).cells
        self.notebook = OpenNotebook(tab, lab, name)
        self.at = 0

    @property
    def answers(self) -> dict[str, dict[str, Any]]:
        """What the file beside the notebook has."""
        path = self.lab.folder / FILE_NAME
        return dict(json.loads(path.read_text(encoding="utf-8"))["answers"]) if path.exists() else {}

    def run(self) -> str:
        """Run the next cell and return its source."""
        cell = self.cells[self.at]
        self.press("Shift+Enter")
        if cell.metadata.get("jupyter", {}).get("source_hidden"):
            self.notebook.wait_idle()  # a folded cell shows no number that would tell
        elif cell.cell_type == "code":
            prompt = self.page.locator(f".jp-Cell[data-windowed-list-index='{self.at}'] .jp-InputPrompt").first
            wait_until(lambda: bool(re.search(r"\[\d+\]", prompt.text_content() or "")), f"cell {cell.id}", 60)
        self.at += 1
        return str(cell.source)

    def run_to(self, wanted: str) -> None:
        """Run cells until the one with this id has been run."""
        while self.cells[self.at].id != wanted:
            self.run()
        self.run()

    def into(self, selector: str, most: int = 30) -> None:
        """Go back with Shift+Tab into what the last cell shows, to the first that `selector` names."""
        cell = self.page.locator(f".jp-Cell[data-windowed-list-index='{self.at - 1}']")
        cell.locator(selector).first.wait_for(state="attached", timeout=20_000)
        for _ in range(most):
            self.press("Shift+Tab")
            found, where = self.page.evaluate(FOCUS, selector)
            if found:
                return
            assert where in (str(self.at - 1), str(self.at)), f"left the cell without meeting {selector}"
        raise AssertionError(f"{most} times Shift+Tab do not lead to {selector}")

    def says(self, *parts: str) -> None:
        """Wait until what the last cell shows says so."""
        output = self.page.locator(f".jp-Cell[data-windowed-list-index='{self.at - 1}'] .jp-Cell-outputArea")

        def there() -> bool:
            text = " ".join((output.text_content() or "").split())
            return all(part in text for part in parts)

        wait_until(there, parts[-1], 30)

    def leave(self) -> None:
        """Give the keys back to the notebook, and go on to the next cell; the arrow keys pass over folded ones."""
        self.press("Escape")
        folded = self.cells[self.at].metadata.get("jupyter", {}).get("source_hidden")
        self.press("Shift+Enter" if folded else "ArrowDown")  # which runs this one again: what was answered is kept


def start_here(learner: Learner) -> None:
    """Go through 00: a picture, a prediction that is wrong, a question with a hint, a number."""
    learner.run_to("one-picture")
    learner.into(".vswaplab-picture")
    for _ in range(3):
        learner.press("ArrowRight")
    learner.says("event 6 of 19")
    learner.press("ArrowLeft")
    learner.says("event 5 of 19")
    learner.leave()
    learner.run_to("three-predict")
    learner.into("input")
    learner.page.keyboard.type("10")
    learner.press("Enter")
    learner.says("Recorded.")
    learner.leave()
    learner.run_to("three-run")
    learner.says("You predicted: 10. The run says: 6 objects.", "A page of zeros needs no object")
    learner.run_to("four-choose")
    learner.into("summary")  # the solution, folded, is the last thing in the box
    learner.press("Shift+Tab")
    learner.press("Enter")
    learner.says("Step the picture above")
    learner.into("input[type=radio]")
    learner.press("Space")  # coming from below, the last of them
    learner.press("Enter")
    learner.says("Keep working", "The other way round")
    learner.press("ArrowDown")  # and round to the first
    learner.press("Enter")
    learner.says("Correct.")
    learner.leave()


def test_start_here_by_keyboard_and_what_was_answered_outlives_a_restart(chromium: Chromium, lab: Lab) -> None:
    learner = Learner(chromium.open(), lab, "00_start_here.ipynb")
    start_here(learner)
    wait_until(lambda: learner.answers.get("00/slots", {}).get("kind") == "correct", "the file", 20)
    kept = learner.answers
    assert kept["00/stored"]["answer"] is not None
    assert kept["00/stored"]["revealed"] is True
    assert kept["00/slots"]["hints"] == 1
    assert kept["00/slots"]["attempts"] == 2

    learner.press("0")
    learner.press("0")
    learner.page.locator(".jp-Dialog").wait_for()
    learner.press("Enter")  # Restart
    learner.page.locator(".jp-Dialog").wait_for(state="detached")
    learner.notebook.wait_idle()
    learner.notebook.tab.check()
    learner.page.close()

    tab = chromium.open()
    learner = Learner(tab, lab, "00_start_here.ipynb")  # as it is on disk: without outputs
    assert tab.page.locator(".vswaplab-question").count() == 0
    learner.run_to("three-run")
    learner.says("You predicted: 10. The run says: 6 objects.")
    learner.run_to("four-choose")
    learner.says("Correct.")
    learner.run_to("five-progress")
    learner.says("00/slots", "00/stored", "correct")
    assert {name: entry["attempts"] for name, entry in learner.answers.items() if name in kept} == {
        name: entry["attempts"] for name, entry in kept.items()
    }
    assert learner.notebook.error_outputs() == []
    learner.notebook.tab.check()


def answer(learner: Learner, kind: str) -> None:
    """Answer the question just asked with whatever comes first."""
    if kind == "explain":
        learner.into("textarea")
        learner.page.keyboard.type("A compressed copy takes up memory, and the page itself is in memory now.")
        learner.press("Tab")
        learner.press("Enter")  # of the button "Check"
    elif kind == "number":
        learner.into("input")
        learner.page.keyboard.type("1")
        learner.press("Enter")
    else:
        learner.into("input[type=radio]")
        learner.press("Space")
        learner.press("Enter")


def test_backings_and_transitions_by_keyboard(chromium: Chromium, lab: Lab) -> None:
    """Every prediction of 03 is recorded before its run, and answered by it."""
    tab = chromium.open()
    learner = Learner(tab, lab, "03_backings_and_transitions.ipynb")
    asked: list[tuple[str, str]] = []
    while learner.at < len(learner.cells):
        found = QUESTION.search(learner.run())
        if found is not None:
            kind, name = found[1], found[2]
            asked.append((kind, name))
            answer(learner, kind)
            wait_until(lambda name=name: learner.answers.get(name, {}).get("answer") is not None, name, 30)  # type: ignore[misc]
            learner.leave()
    kept = learner.answers
    predictions = [name for kind, name in asked if kind == "predict"]
    assert len(predictions) >= 4
    assert all(kept[name]["revealed"] for name in predictions)
    assert all(kept[name]["kind"] for _, name in asked)
    assert learner.notebook.error_outputs() == []
    learner.notebook.tab.check()
    tab.page.context.close()


def test_the_path_names_cells_that_are_there() -> None:
    """The cells that this file goes to are in the notebook, so that a missing one is not looked for by running on."""
    folder = Path(__file__).resolve().parent.parent / "notebooks"
    ids = {cell.id for cell in nbformat.read(folder / "00_start_here.ipynb", as_version=4).cells}
    assert ids >= {"one-picture", "three-predict", "three-run", "four-choose", "five-progress"}
