"""A saved notebook in JupyterLab: widgets while its kernel runs, words when it is gone, widgets when it is run."""

from __future__ import annotations

import json
import urllib.request

import nbformat
import pytest
from browser.harness import Chromium, Lab, OpenNotebook, wait_until

pytestmark = pytest.mark.browser

NAME = "saved.ipynb"
CELLS = (
    "from vswaplab.lab import choose\nfrom vswaplab.widgets import Stepper\n"
    "from vswaplab.workloads.scenarios import run_scenario\nStepper(run_scenario('one_page').machine)",
    "walk = choose('05/saved', 'How many?', {'none': 'That is virtual.', 'all': True})\nif not walk.said:\n"
    "    walk.answer('none')\nwalk",
)
WORDS = "Run this cell again"
ERROR = "Error displaying widget"


def shown(notebook: OpenNotebook) -> str:
    return "\n".join(notebook.panel.locator(".jp-OutputArea-output").all_inner_texts())


def end_session(lab: Lab) -> None:
    for session in lab.ask("sessions"):
        if session["path"] == NAME:
            address = f"{lab.url}/api/sessions/{session['id']}?token={lab.token}"
            urllib.request.urlopen(urllib.request.Request(address, method="DELETE"), timeout=20).close()


def test_a_saved_notebook_says_what_it_showed(chromium: Chromium, lab: Lab) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    made = nbformat.v4.new_notebook(metadata=kernel, cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbformat.write(made, lab.folder / NAME)
    tab = chromium.open()
    notebook = OpenNotebook(tab, lab, NAME)
    notebook.run_all()
    views = notebook.panel.locator(".vswaplab-view")
    wait_until(lambda: views.count() == len(CELLS), "the views", 30)
    assert WORDS not in shown(notebook)
    tab.page.keyboard.press("Control+s")
    wait_until(lambda: WORDS in (lab.folder / NAME).read_text(encoding="utf-8"), "saving", 30)
    tab.page.context.close()

    tab = chromium.open()  # its kernel still runs
    notebook = OpenNotebook(tab, lab, NAME)
    views = notebook.panel.locator(".vswaplab-view")
    wait_until(lambda: views.count() == len(CELLS), "the views again", 30)
    assert WORDS not in shown(notebook)
    tab.check()
    tab.page.context.close()

    end_session(lab)
    tab = chromium.open()
    notebook = OpenNotebook(tab, lab, NAME)
    wait_until(lambda: shown(notebook).count(WORDS) == len(CELLS), "the words", 30)
    told = shown(notebook)
    assert ERROR not in told
    for part in ("Stepper: step 19 of 19.", "Choose: How many?", "Your answer: none", "Keep working. That is virtual."):
        assert part in told
    notebook.run_all()
    wait_until(lambda: notebook.panel.locator(".vswaplab-view").count() == len(CELLS), "the views once more", 30)
    assert WORDS not in shown(notebook)
    tab.check()
    tab.page.context.close()
    end_session(lab)


def test_the_file_itself_keeps_its_widgets(lab: Lab) -> None:
    """What is sent without a kernel has the words alone; opening a notebook changes no file."""
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "gone"}, "text/plain": "Stepper."}
    data = {**view, "text/html": '<div class="vswaplab-words"><p>Stepper.</p></div>'}
    cell = nbformat.v4.new_code_cell("1", outputs=[nbformat.v4.new_output("display_data", data=data)])
    path = lab.folder / "kept.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    before = path.read_bytes()
    sent = lab.ask("contents/kept.ipynb")["content"]["cells"][0]["outputs"][0]["data"]
    assert set(sent) == {"text/plain", "text/html"}
    assert path.read_bytes() == before
    assert set(json.loads(before)["cells"][0]["outputs"][0]["data"]) == set(data)
