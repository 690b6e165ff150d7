"""Saved notebooks as a server opens them: a view whose kernel is gone is shown by its words.

JupyterLab prefers a widget to the HTML beside it. Where the kernel that knew the widget has ended, it shows "model not
found" in its place. So a notebook that no kernel runs is sent without the widgets that nobody can draw any more; what
is left of a view or a question is its words (`vswaplab.widgets.view`). A notebook with a kernel is sent as it is, and
the file is not touched until the notebook is saved.

``tools/jupyter/jupyter_server_config.json`` sets it up for ``make lab`` and the hub.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from jupyter_server.services.contents.largefilemanager import AsyncLargeFileManager

from vswaplab.widgets.view import WORDS_CLASS

__all__ = ["SavedNotebooks", "drop_dead_views"]

_VIEW = "application/vnd.jupyter.widget-view+json"
_STATE = "application/vnd.jupyter.widget-state+json"


class SavedNotebooks(AsyncLargeFileManager):
    """The server's own contents manager, but for views that nobody can draw any more."""

    async def get(
        self,
        path: str,
        content: bool = True,
        type: str | None = None,
        format: str | None = None,
        require_hash: bool = False,
    ) -> dict[str, Any]:
        """Return the model of a file; of a notebook without a kernel, its views as words."""
        model: dict[str, Any] = await super().get(path, content, type, format, require_hash)  # type: ignore[no-untyped-call]
        if content and model["type"] == "notebook" and not await self._has_kernel(path):
            drop_dead_views(model["content"])
        return model

    async def _has_kernel(self, path: str) -> bool:
        sessions = getattr(self.parent, "session_manager", None)
        if sessions is None:
            return True  # it can't be told: all stays as it is
        return any(session.get("path") == path.strip("/") for session in await sessions.list_sessions())


def drop_dead_views(notebook: Mapping[str, Any]) -> None:
    """Take from each output that has a view's words the widget beside them, unless the widget's state is saved."""
    metadata = notebook.get("metadata") or {}
    states = ((metadata.get("widgets") or {}).get(_STATE) or {}).get("state") or {}
    for data in _outputs(notebook):
        view, html = data.get(_VIEW), data.get("text/html")
        text = "".join(html) if isinstance(html, list) else html
        if not isinstance(view, Mapping) or not isinstance(text, str) or WORDS_CLASS not in text:
            continue
        if view.get("model_id") not in states:
            del data[_VIEW]


def _outputs(notebook: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for cell in notebook.get("cells") or ():
        for output in cell.get("outputs") or ():
            data = output.get("data")
            if isinstance(data, dict):
                yield data
