"""How the pages beside this file become a site that needs no network: ``make docs``."""

import os
import sys
from pathlib import Path

from ctxai import __version__

sys.path.insert(0, str(Path(__file__).parent))
os.environ["COLUMNS"] = "84"  # of the stages' help: what a page is wide

project = "ctxai"
author = "The ctxai authors"
copyright = "The ctxai authors, Apache-2.0. Research use only"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_pages"]
exclude_patterns = ["_build"]

myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_custom_sections = [("Source", "notes_style")]

html_theme = "furo"
html_title = f"ctxai {release}"
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
