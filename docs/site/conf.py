"""The pages as a site: `make site`. Sphinx, with the pages as they are."""

from inkshift import __version__

project, release, copyright = "inkshift", __version__, "the inkshift authors"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "docs/site/contents"
include_patterns = [
    "docs/**",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "examples/telegram/README.md",
]
html_theme, html_title = "furo", "inkshift"
myst_heading_anchors = 4
autodoc_typehints = "description"
autodoc_member_order = "bysource"
