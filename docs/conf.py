"""Sphinx's settings for the site; `make html` runs it over sources that `vswaplab.export.site` lays out."""

from pathlib import Path

from vswaplab import __version__
from vswaplab.export.site.build import built_from

project = "vswaplab"
author = "the vswaplab authors"
copyright = "the vswaplab authors"
release = built_from(Path(__file__).resolve().parent.parent, __version__)
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "vswaplab.export.site.extension"]
exclude_patterns = ["_extra"]
default_role = "py:obj"
suppress_warnings = ["mystnb.unknown_mime_type", "ref.python"]
nitpicky = False

nb_execution_mode = "off"  # they come executed
nb_merge_streams = True
nb_render_markdown_format = "myst"  # computed sentences link to other lessons, too
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True

html_theme = "pydata_sphinx_theme"
html_title = "vswaplab"
html_css_files = ["views.css", "site.css"]
html_js_files = [("site.js", {"loading_method": "defer"})]
html_show_sourcelink = False
html_copy_source = False
html_show_search_summary = False  # it fetches pages, which a browser refuses to do in a folder
html_last_updated_fmt = "%d %B %Y"
html_context = {"default_mode": "auto"}
html_sidebars = {"index": []}
html_theme_options = {
    "logo": {"text": "vswaplab"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "header_links_before_dropdown": 6,
    "show_nav_level": 1,
    "show_toc_level": 1,
    "navigation_with_keys": False,  # the arrow keys are the players'
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "footer_start": ["built"],
    "footer_end": ["theme-version"],
    "back_to_top_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
templates_path = ["_templates"]
