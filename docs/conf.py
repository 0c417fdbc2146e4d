"""Settings of the documentation site: `make docs` builds it, and fails on a broken reference."""

from importlib import metadata

project = "archrep"
author = "The archrep developers"
copyright = "The archrep developers"
release = version = metadata.version("archrep")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"archrep {release}"
html_theme_options = {"navigation_with_keys": True}
default_role = "code"
autodoc_typehints = "description"
autodoc_member_order = "bysource"
# Names of other packages and of Python lead nowhere, since nothing is looked up in a network; archrep's own must exist.
nitpick_ignore_regex = [(r"py:.*", r"(?!archrep\.).*")]
