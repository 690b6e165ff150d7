"""Views on a page without a kernel: a view's traits as JSON, its bytes compressed, and the script that shows them."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from vswaplab.widgets.esm import page_script, stylesheet
from vswaplab.widgets.view import View

__all__ = ["page_head", "view_html"]


def view_html(view: View | Mapping[str, Any]) -> str:
    """Return the element that stands for a view (or for its traits by name) on a page; `page_head` shows it."""
    traits = view.plain() if isinstance(view, View) else dict(view)
    packed = {name: _packed(value) for name, value in traits.items() if isinstance(value, bytes | memoryview)}
    plain = {name: value for name, value in traits.items() if name not in packed}
    text = json.dumps({**plain, "packed": packed}, separators=(",", ":")).replace("</", "<\\/")
    return f'<script type="application/vswaplab+json">{text}</script>'


def page_head() -> str:
    """Return what a page with views has to have once: the styles and the script."""
    script = page_script().replace("</script", "<\\/script")
    return f"<style>\n{stylesheet()}</style>\n<script>\n{script}</script>\n"


def _packed(data: bytes | memoryview) -> str:
    return base64.b64encode(zlib.compress(bytes(data), 9)).decode("ascii")
