"""Questions in JupyterLab, a kernel behind them: by keyboard, kept in the file, found again when cells run again."""

from __future__ import annotations

import json
from collections.abc import Iterator

import nbformat
import pytest
from browser.harness import Chromium, Lab, OpenNotebook, wait_until

from vswaplab.lab.progress import FILE_NAME

pytestmark = pytest.mark.browser

CELLS = (
    "from vswaplab.lab import choose, predict, task\n"
    "walk = choose('05/walk', 'How many?', {'none': 'That is virtual.', 'all': True, 'some': 'Which?'})\nwalk",
    "where = predict('01/where', 'Where?', {'zswap': 'It comes first.', 'disk': 'It comes last.'})\nwhere",
    "half = task('09/half', 'Halve it.', [('of 3', lambda f: f(3) == 1, 'It is 1.')])\nhalf.check(lambda n: n / 2)",
    "if walk.said:\n    where.reveal('zswap')",
)


@pytest.fixture(scope="module")
def notebook(chromium: Chromium, lab: Lab) -> Iterator[OpenNotebook]:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    made = nbformat.v4.new_notebook(metadata=kernel, cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbformat.write(made, lab.folder / "questions.ipynb")
    tab = chromium.open()
    opened = OpenNotebook(tab, lab, "questions.ipynb")
    opened.run_all()
    yield opened
    tab.page.context.close()


def test_questions_in_the_lab(notebook: OpenNotebook, lab: Lab) -> None:
    """One test, since each part builds on what the one before left."""
    page, kept = notebook.page, lab.folder / FILE_NAME
    boxes = page.locator(".vswaplab-q-feedback")

    def says(at: int, *parts: str) -> None:
        wait_until(lambda: all(part in (boxes.nth(at).text_content() or "") for part in parts), parts[-1], 20)

    questions = page.locator(".vswaplab-question")
    questions.nth(1).wait_for()
    says(2, "0 of 1 checks passed.", "failed", "It is 1.")
    selected = page.locator(".jp-Cell.jp-mod-active").count()

    questions.nth(0).get_by_label("none").focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")  # a key of the lab's own, too: it would go to another cell
    assert questions.nth(0).get_by_label("all").is_checked()
    page.keyboard.press("Enter")
    says(0, "Correct.", "That is it.")
    questions.nth(1).get_by_label("disk").check()
    questions.nth(1).get_by_role("button", name="Record my prediction").click()
    says(1, "Recorded.")
    wait_until(lambda: kept.exists() and "01/where" in kept.read_text(encoding="utf-8"), "the file", 20)
    answers = json.loads(kept.read_text(encoding="utf-8"))["answers"]  # others' too: the lab is shared
    assert (answers["05/walk"]["answer"], answers["01/where"]["answer"]) == ("all", "disk")
    assert answers["05/walk"]["kind"] == "correct"
    assert page.locator(".jp-Cell").count() == len(CELLS)
    assert page.locator(".jp-Cell.jp-mod-active").count() == selected

    notebook.run_all()
    says(0, "Correct.")
    says(1, "You predicted: disk. The run says: zswap. It comes last.")
    wait_until(lambda: boxes.count() == 4, "the verdict", 20)
    says(3, "You predicted: disk. The run says: zswap. It comes last.")
    assert questions.nth(1).get_by_label("disk").is_disabled()
    assert notebook.error_outputs() == []
    notebook.tab.check()
