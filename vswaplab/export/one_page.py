"""Standalone pages: every notebook executed and written as one HTML file that asks for nothing from outside.

A page holds its own styles and its own plotly.js (4.6 MB), so it opens from a memory stick, or from a mail.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vswaplab.errors import InvalidArgument
from vswaplab.export.notebooks import execute, title_of
from vswaplab.export.static_outputs import make_static, widget_models
from vswaplab.strict import path_of, quoted, shown

if TYPE_CHECKING:
    from nbformat import NotebookNode

__all__ = ["export_notebooks", "to_html"]

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
<p>Executed notebooks: players, charts and questions work as they are, what needs Python says so.</p>
<ol>
{items}
</ol></main></body></html>
"""


def to_html(notebook: NotebookNode, title: str) -> str:
    """Return an executed notebook as one page that loads nothing; `notebook` is changed on the way."""
    from nbconvert import HTMLExporter
    from plotly.offline import get_plotlyjs

    from vswaplab.widgets.page import page_head

    models = widget_models(notebook.metadata.pop("widgets", {}))
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "data" in output:
                make_static(output["data"], models)
    notebook.metadata["title"] = title
    exporter = HTMLExporter(raw_template=_TEMPLATE, embed_images=True)
    body, _ = exporter.from_notebook_node(notebook, resources={"plotly_js": get_plotlyjs(), "views": page_head()})
    return str(body)


def export_notebooks(notebooks: Sequence[Path], out: Path) -> list[Path]:
    """Execute each notebook, write ``<name>.html`` into `out`, and an index beside several; return what was written."""
    notebooks, out = _list(notebooks), path_of(out, "A folder")
    if out.exists() and not out.is_dir():
        raise InvalidArgument(f"{shown(out)} is no folder; name another one with --out.")
    out.mkdir(parents=True, exist_ok=True)
    written, items = [], []
    for path in [path_of(notebook, "A notebook") for notebook in notebooks]:
        print(f"{path.name} …", file=sys.stderr, flush=True)
        notebook = execute(path)
        title = title_of(notebook, path.stem)
        page = out / f"{path.stem}.html"
        page.write_text(to_html(notebook, title), encoding="utf-8")
        written.append(page)
        items.append(f'<li><a href="{html.escape(page.name)}">{html.escape(title)}</a></li>')
    if len(items) == 1:
        return written
    index = out / "index.html"
    index.write_text(_INDEX.format(items="\n".join(items)), encoding="utf-8")
    return [*written, index]


def _list(notebooks: object) -> list[Path]:
    """Return the notebooks as a list; InvalidArgument for one path alone, which would be taken apart."""
    if isinstance(notebooks, str | bytes) or not isinstance(notebooks, Iterable):
        raise InvalidArgument(f"notebooks must be a list of paths, not {quoted(notebooks)}.")
    return list(notebooks)
