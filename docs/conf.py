"""Sphinx's settings for the web edition. `make site` writes its pages; authoring/web.py calls Sphinx on them."""

import os

project = "MoE Lessons"
author = "the authors of MoE Lessons"
copyright = "text and pictures CC BY 4.0, code MIT"
language = "en"
html_title = "MoE Lessons"

extensions = ["myst_nb", "sphinx.ext.mathjax"]
exclude_patterns = ["moe_lessons/experiments/results"]
nitpicky = True

# Notebooks come executed. Nothing is loaded from outside: no script for widgets, MathJax from this site.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 0)]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 4
myst_update_mathjax = False
mathjax_path = "mathjax/tex-svg.js"
mathjax3_config = {
    "tex": {"inlineMath": [["\\(", "\\)"]], "displayMath": [["\\[", "\\]"]]},
    "options": {
        "ignoreHtmlClass": "tex2jax_ignore|mathjax_ignore|document",
        "processHtmlClass": "tex2jax_process|mathjax_process|math|output_area",
    },
}

html_theme = "sphinx_book_theme"
templates_path = ["_templates"]
html_static_path = ["_static"]
html_extra_path = ["../_site/beside"]
html_css_files = ["cards.css", "live.css", "site.css"]
# Modules bring widgets and words to life; without them pictures and titles stay.
html_js_files = ["site.js", ("live.js", {"type": "module"}), ("reading.js", {"type": "module"})]
html_favicon = "_static/favicon.svg"
html_copy_source = False
html_use_index = False
html_domain_indices = False
html_show_sourcelink = False
html_show_sphinx = False
html_permalinks_icon = "#"
add_module_names = False
modindex_common_prefix = ["moe_lessons."]
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
    "show_navbar_depth": 1,
    "max_navbar_depth": 1,
    "home_page_in_toc": True,
    "toc_title": "On this page",
}
html_context = {
    "default_mode": "auto",
    "repository": os.environ.get("REPOSITORY", ""),
    "branch": os.environ.get("BRANCH", "main"),
}
