"""The site: Sphinx pages from executed notebooks and the documents beside them, for a reader with no kernel."""

from __future__ import annotations

from vswaplab.export.site.build import build_site

__all__ = ["build_site"]
