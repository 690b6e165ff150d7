"""Standalone pages: executed, drawn, and asking for nothing from outside."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from browser.harness import Chromium

from vswaplab.cli import main
from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.export import CONTROLS_NOTE, execute, find_notebooks, to_html

LOADS = re.compile(
    r"""<(?:script|link|img|iframe|source|object|embed)\b[^>]*\b(?:src|href|data)\s*=\s*["']?([^"'\s>]+)"""
)
PLOTLYJS = re.compile(r"<script>/\*\*\n\* plotly\.js.*?</script>", re.DOTALL)
CODE = """
import ipywidgets, numpy as np, plotly.graph_objects as go
live = go.FigureWidget(data=[go.Scatter(x=np.arange(5.0), y=np.arange(5.0) ** 2)])
ipywidgets.VBox([ipywidgets.Button(description="Step back"), live, ipywidgets.HTML("<b>event 3 of 9</b>")])
"""


def write(path: Path, *cells: str) -> Path:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(metadata=kernel)
    notebook.cells = [nbformat.v4.new_markdown_cell("# Pages & <slots>")]
    notebook.cells += [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, path)
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder into which a notebook with a figure, a widget and a figure in a widget was exported."""
    folder = tmp_path_factory.mktemp("html")
    plain = "import plotly.graph_objects as go\ngo.Figure(data=[go.Bar(y=[1, 2, 3])])"
    write(folder / "07_test.ipynb", CODE, plain, "live", "print('the end')")
    write(folder / "07_too.ipynb")
    assert main(["html", "--notebooks", str(folder), "--notebook", "07", "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def page(pages: Path) -> str:
    return (pages / "07_test.html").read_text(encoding="utf-8")


@pytest.mark.notebook
def test_page_holds_plotlyjs_once_and_draws_every_figure(page: str) -> None:
    assert len(PLOTLYJS.findall(page)) == 1
    assert PLOTLYJS.sub("", page).count("Plotly.newPlot(") == 3


@pytest.mark.notebook
def test_page_loads_nothing(page: str) -> None:
    """No script, style, image, font or import comes from anywhere but the page itself."""
    own = PLOTLYJS.sub("", page)
    assert [url for url in LOADS.findall(own) if not url.startswith("data:")] == []
    assert re.findall(r"""url\(\s*["']?(?!data:|#)[^)]*""", own) == []
    assert re.findall(r"""(?:import\(|@import|from\s+["'])[^\n]*https?:""", own) == []
    assert "require.min.js" not in own
    assert "MathJax" not in own


@pytest.mark.notebook
def test_page_keeps_texts_and_says_where_controls_work(page: str) -> None:
    assert "<b>event 3 of 9</b>" in page
    assert page.count(CONTROLS_NOTE) == 1
    assert "the end" in page
    assert "widget-view+json" not in PLOTLYJS.sub("", page)


@pytest.mark.notebook
def test_one_notebook_is_one_file(tmp_path: Path) -> None:
    write(tmp_path / "07_test.ipynb")
    assert main(["html", "--notebooks", str(tmp_path), "--notebook", "07", "--out", str(tmp_path / "out")]) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["07_test.html"]


@pytest.mark.notebook
def test_index_links_the_page_by_its_title(pages: Path) -> None:
    assert '<a href="07_test.html">Pages &amp; &lt;slots&gt;</a>' in (pages / "index.html").read_text(encoding="utf-8")


@pytest.mark.notebook
@pytest.mark.browser
def test_page_opens_offline_with_every_figure_drawn(pages: Path, chromium: Chromium) -> None:
    tab = chromium.open()
    tab.page.goto((pages / "07_test.html").as_uri())
    tab.page.locator(".js-plotly-plot .main-svg").first.wait_for()
    assert tab.page.locator(".js-plotly-plot").count() == 3
    # The figure in the widget got its typed arrays back: a line through five points.
    assert tab.page.locator(".js-plotly-plot").first.locator(".scatterlayer .point").count() == 5
    tab.check()


@pytest.mark.notebook
def test_code_that_is_hidden_in_the_notebook_is_folded_in_the_page(tmp_path: Path) -> None:
    path = write(tmp_path / "hidden.ipynb", "answer = 42", "other = 43")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[1].metadata["jupyter"] = {"source_hidden": True}
    nbformat.write(notebook, path)
    found = re.findall(r'<details class="vswaplab-source">.*?</details>', to_html(execute(path), "x"), re.DOTALL)
    assert len(found) == 1
    assert ">42<" in found[0]


@pytest.mark.notebook
def test_failing_cell_is_an_error_that_names_the_notebook(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"bad\.ipynb does not run to its end: .*ZeroDivisionError"):
        execute(write(tmp_path / "bad.ipynb", "1 / 0"))


def test_missing_notebook_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"begins with '09'.*--notebooks"):
        find_notebooks(tmp_path, "09")
