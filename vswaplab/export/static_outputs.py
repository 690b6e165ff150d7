"""Outputs without a kernel: a figure or a widget of an executed notebook as HTML that stands by itself.

Our own views go on working, since all they show was sent to them. A figure inside another widget is drawn as it stood
when the cell ended, a text widget keeps its text, and in the place of controls a sentence says where they work.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["CONTROLS_NOTE", "DrawFigure", "figure_script", "make_static", "widget_models"]

CONTROLS_NOTE = "The controls of this part need a running kernel: start the lab with make lab."
DrawFigure = Callable[..., str]
"""Of a figure's traces, layout and frames, the HTML that draws it."""

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


def widget_models(widgets: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the state of each saved widget by model id, arrays put back; empty when the notebook shows none."""
    saved = widgets.get(_STATE, {}).get("state", {})
    for model in saved.values():
        if "_widget_data" in model["state"]:
            _put_buffers(model["state"], model.get("buffers", []))
        elif _is_view(model["state"]):
            for buffer in model.get("buffers", []):
                model["state"][buffer["path"][0]] = base64.b64decode(buffer["data"])
    return {model_id: model["state"] for model_id, model in saved.items()}


def figure_script(traces: Any, layout: Any, frames: Any = ()) -> str:
    """Return a figure as a division and the call that draws it, plotly.js being there already."""
    import plotly.io

    figure = json.loads(json.dumps({"data": traces, "layout": layout, "frames": list(frames)}))
    config = {"displaylogo": False, "responsive": True}
    return str(
        plotly.io.to_html(
            figure, config=config, include_plotlyjs=False, full_html=False, validate=False, auto_play=False
        )
    )


def make_static(data: dict[str, Any], models: Mapping[str, Any], draw: DrawFigure = figure_script) -> None:
    """Turn one output's figure or widget into HTML that needs neither kernel nor network."""
    if _PLOTLY in data:
        figure = data.pop(_PLOTLY)
        data["text/html"] = draw(figure.get("data", []), figure.get("layout", {}), figure.get("frames", []))
    elif _VIEW in data:
        view = data.pop(_VIEW)
        parts = list(_static_parts(view["model_id"], models, draw))
        state = models.get(view["model_id"], {})
        if "_widget_data" not in state and not _is_view(state):
            parts.append(f"<p><em>{html.escape(CONTROLS_NOTE)}</em></p>")
        data["text/html"] = "\n".join(parts)


def _static_parts(model_id: str, models: Mapping[str, Any], draw: DrawFigure) -> Iterator[str]:
    """Yield the HTML of a widget and of its children: its figures and its texts, not its controls."""
    state = models.get(model_id, {})
    if _is_view(state):
        yield _view_html(state)
    elif "_widget_data" in state:
        yield draw(state["_widget_data"], state["_widget_layout"], ())
    elif state.get("_model_name") == "HTMLModel":
        yield f"<div>{state.get('value', '')}</div>"
    elif state.get("_model_name") == "LabelModel":
        yield f"<p>{html.escape(state.get('value', ''))}</p>"
    for child in state.get("children", []):
        yield from _static_parts(str(child).removeprefix("IPY_MODEL_"), models, draw)


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
