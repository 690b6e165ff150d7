"""View: a picture of our own in JupyterLab, drawn in the browser by the module that ``js/`` makes.

State is in traits only. `header` and `data` are sent once; moving about in what they say asks Python nothing. The same
traits, written into a page, give the same view without a kernel (`vswaplab.export`).
"""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from vswaplab.widgets.esm import bundle, stylesheet

__all__ = ["View"]


class View(anywidget.AnyWidget):
    """One view; `view` is its name in ``js/index.js``."""

    _esm = bundle()
    _css = stylesheet()

    view = traitlets.Unicode(help="Name of the view").tag(sync=True)
    header = traitlets.Dict(help="What the view shows, as JSON").tag(sync=True)
    data = traitlets.Bytes(b"", help="Columns that the header names").tag(sync=True)
    code = traitlets.Unicode("", help="The library calls behind the picture").tag(sync=True)

    def plain(self) -> dict[str, Any]:
        """Return the traits that a page without a kernel needs, by name; `data` is bytes."""
        names = set(self.trait_names(sync=True)) - set(anywidget.AnyWidget.class_trait_names())
        return {name: getattr(self, name) for name in sorted(names) if not name.startswith("_")}
