"""Standalone pages: every notebook executed and written as one HTML file that asks for nothing from outside.

A page holds its own styles and its own plotly.js (4.6 MB), so it opens from a memory stick. Our own views (steppers,
players) go on working in it, since all they show was sent to them. What a page can't hold is a running kernel: a figure
inside another widget is drawn as it stood when the cell ended, a text widget keeps its text, and in the place of the
controls stands a sentence saying where they work.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vswaplab.errors import InvalidArgument, NotFound
from vswaplab.strict import load_json, path_of, quoted, read_bounded, shown

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["CONTROLS_NOTE", "add_commands", "execute", "export_notebooks", "find_notebooks", "to_html"]

CONTROLS_NOTE = "The controls of this part need a running kernel: start the lab with make lab."
_MAX_NOTEBOOK_BYTES = 1 << 26
CELL_TIMEOUT = 600
"""Seconds a cell may take."""

_PLOTLY = "application/vnd.plotly.v1+json"
_VIEW = "application/vnd.jupyter.widget-view+json"
_STATE = "application/vnd.jupyter.widget-state+json"
_SHORT_DTYPES = {
    "float64": "f8",
    "float32": "f4",
    "int8": "i1",
    "int16": "i2",
    "int32": "i4",
    "uint8": "u1",
    "uint16": "u2",
    "uint32": "u4",
}
"""numpy's names and plotly.js's, of the types that travel as bytes."""
_TEMPLATE = """{%- extends 'lab/index.html.j2' -%}
{%- block html_head_js_requirejs -%}<script>{{ resources.plotly_js }}</script>{{ resources.views }}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block input_group -%}
{%- if cell.metadata.get("jupyter", {}).get("source_hidden") -%}
<details class="vswaplab-source"><summary>The code of this question, with its answers</summary>{{ super() }}</details>
{%- else -%}{{ super() }}{%- endif -%}
{%- endblock -%}
"""
_INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>vswaplab</title>
<style>body {{ font: 1.1rem/1.6 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto; padding: 0 1rem; }}
@media (prefers-color-scheme: dark) {{ body {{ background: #111; color: #eee; }} a {{ color: #8cf; }} }}</style></head>
<body><main><h1>vswaplab</h1>
<p>Executed notebooks. Figures can be moved and hovered over; the controls beside them work in the lab only.</p>
<ol>
{items}
</ol></main></body></html>
"""


def find_notebooks(folder: Path, only: str | None = None) -> list[Path]:
    """Return the notebooks in `folder` by name, or those whose name begins with `only`; NotFound if there are none."""
    folder = path_of(folder, "A folder")
    found = sorted(path for path in folder.glob("*.ipynb") if path.name.startswith(only or ""))
    if not found:
        which = f"notebook whose name begins with {quoted(only)}" if only else "notebook"
        raise NotFound(f"There is no {which} in {shown(folder)}; name the folder with --notebooks.")
    return found


def execute(path: Path) -> NotebookNode:
    """Return the notebook at `path`, executed in its own folder; InvalidArgument naming the cell that failed."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = _read(path)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    )
    # Other renderers of plotly put 4.6 MB of plotly.js, or a link to it, into every output. Answers to questions are
    # whoever gave them's own: a page begins without.
    environment = {**os.environ, "PLOTLY_RENDERER": "plotly_mimetype", "VSWAPLAB_PROGRESS": "off"}
    try:
        client.execute(env=environment)
    except CellExecutionError as error:
        what = f"{error.ename}: {error.evalue}".rstrip(": ")
        raise InvalidArgument(f"{path.name} does not run to its end: {what}") from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise InvalidArgument(f"{path.name} does not run to its end: {str(error).splitlines()[0]}") from None
    return notebook


def _read(path: Path) -> NotebookNode:
    """Return the notebook in a file; InvalidArgument if it is none."""
    import nbformat

    text = read_bounded(path, _MAX_NOTEBOOK_BYTES, "notebook")
    load_json(text, str(path))  # says where it is no JSON
    try:
        notebook = nbformat.reads(text.decode(), as_version=4)
        nbformat.validate(notebook)
    except Exception as error:  # the library raises whatever comes up in it
        raise InvalidArgument(f"{shown(path)} is no notebook of Jupyter; save it from JupyterLab again.") from error
    return notebook


def to_html(notebook: NotebookNode, title: str) -> str:
    """Return an executed notebook as one page that loads nothing; `notebook` is changed on the way."""
    from nbconvert import HTMLExporter
    from plotly.offline import get_plotlyjs

    from vswaplab.widgets.page import page_head

    models = _widget_models(notebook.metadata.pop("widgets", {}))
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "data" in output:
                _make_static(output["data"], models)
    notebook.metadata["title"] = title
    exporter = HTMLExporter(raw_template=_TEMPLATE, embed_images=True)
    body, _ = exporter.from_notebook_node(notebook, resources={"plotly_js": get_plotlyjs(), "views": page_head()})
    return str(body)


def export_notebooks(notebooks: Sequence[Path], out: Path) -> list[Path]:
    """Execute each notebook, write ``<name>.html`` into `out` and an ``index.html`` beside them; return all written."""
    notebooks, out = _list(notebooks), path_of(out, "A folder")
    if out.exists() and not out.is_dir():
        raise InvalidArgument(f"{shown(out)} is no folder; name another one with --out.")
    out.mkdir(parents=True, exist_ok=True)
    written, items = [], []
    for path in [path_of(notebook, "A notebook") for notebook in notebooks]:
        print(f"{path.name} …", file=sys.stderr, flush=True)
        notebook = execute(path)
        title = _title(notebook, path.stem)
        page = out / f"{path.stem}.html"
        page.write_text(to_html(notebook, title), encoding="utf-8")
        written.append(page)
        items.append(f'<li><a href="{html.escape(page.name)}">{html.escape(title)}</a></li>')
    index = out / "index.html"
    index.write_text(_INDEX.format(items="\n".join(items)), encoding="utf-8")
    return [*written, index]


def _list(notebooks: object) -> list[Path]:
    """Return the notebooks as a list; InvalidArgument for one path alone, which would be taken apart."""
    if isinstance(notebooks, str | bytes) or not isinstance(notebooks, Iterable):
        raise InvalidArgument(f"notebooks must be a list of paths, not {quoted(notebooks)}.")
    return list(notebooks)


def _title(notebook: NotebookNode, default: str) -> str:
    """Return the text of the first heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for line in cell.source.splitlines():
                if line.startswith("# "):
                    return str(line[2:].strip())
    return default


def _widget_models(widgets: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the state of each saved widget by model id, arrays put back; empty when the notebook shows none."""
    saved = widgets.get(_STATE, {}).get("state", {})
    for model in saved.values():
        if "_widget_data" in model["state"]:
            _put_buffers(model["state"], model.get("buffers", []))
        elif _is_view(model["state"]):
            for buffer in model.get("buffers", []):
                model["state"][buffer["path"][0]] = base64.b64decode(buffer["data"])
    return {model_id: model["state"] for model_id, model in saved.items()}


def _make_static(data: dict[str, Any], models: Mapping[str, Any]) -> None:
    """Turn one output's figure or widget into HTML that needs neither kernel nor network."""
    if _PLOTLY in data:
        figure = data.pop(_PLOTLY)
        data["text/html"] = _figure_html(figure.get("data", []), figure.get("layout", {}))
    elif _VIEW in data:
        view = data.pop(_VIEW)
        parts = list(_static_parts(view["model_id"], models))
        state = models.get(view["model_id"], {})
        if "_widget_data" not in state and not _is_view(state):
            parts.append(f"<p><em>{html.escape(CONTROLS_NOTE)}</em></p>")
        data["text/html"] = "\n".join(parts)


def _static_parts(model_id: str, models: Mapping[str, Any]) -> Iterator[str]:
    """Yield the HTML of a widget and of its children: its figures and its texts, not its controls."""
    state = models.get(model_id, {})
    if _is_view(state):
        yield _view_html(state)
    elif "_widget_data" in state:
        yield _figure_html(state["_widget_data"], state["_widget_layout"])
    elif state.get("_model_name") == "HTMLModel":
        yield f"<div>{state.get('value', '')}</div>"
    elif state.get("_model_name") == "LabelModel":
        yield f"<p>{html.escape(state.get('value', ''))}</p>"
    for child in state.get("children", []):
        yield from _static_parts(str(child).removeprefix("IPY_MODEL_"), models)


def _is_view(state: Mapping[str, Any]) -> bool:
    """Tell whether a widget's state is one of our own views'."""
    return {"_anywidget_id", "view", "header"} <= state.keys()


def _view_html(state: Mapping[str, Any]) -> str:
    from vswaplab.widgets.page import view_html

    own = {name: value for name, value in state.items() if not name.startswith("_")}
    return view_html({name: value for name, value in own.items() if name not in ("layout", "tabbable", "tooltip")})


def _put_buffers(state: Any, buffers: Sequence[Mapping[str, Any]]) -> None:
    """Put binary buffers, which are saved beside the state, back as the typed arrays that plotly.js reads."""
    for buffer in buffers:
        *path, name, _ = buffer["path"]
        owner = state
        for key in path:
            owner = owner[key]
        owner[name] = {"dtype": _SHORT_DTYPES[owner[name]["dtype"]], "bdata": buffer["data"]}


def _figure_html(traces: Any, layout: Any) -> str:
    """Return a figure as a division and the call that draws it, plotly.js being there already."""
    import plotly.io

    figure = json.loads(json.dumps({"data": traces, "layout": layout}))
    config = {"displaylogo": False, "responsive": True}
    return str(plotly.io.to_html(figure, config=config, include_plotlyjs=False, full_html=False, validate=False))


def _default_folder() -> Path:
    """Return the checkout's notebooks, or those of the current folder for an installed package."""
    beside = Path(__file__).resolve().parent.parent / "notebooks"
    return beside if beside.is_dir() else Path("notebooks")


def _html(args: argparse.Namespace) -> int:
    for path in export_notebooks(find_notebooks(args.notebooks or _default_folder(), args.notebook), args.out):
        print(path)
    return 0


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``vswaplab html`` to the command line."""
    parser = commands.add_parser("html", help="execute the notebooks and write standalone pages")
    parser.add_argument("--notebook", metavar="N", help="only notebooks whose name begins with N, such as 01")
    parser.add_argument("--notebooks", type=Path, metavar="DIR", help="folder of the notebooks")
    parser.add_argument("--out", type=Path, default=Path("build/html"), metavar="DIR", help="default: build/html")
    parser.set_defaults(run=_html)
