from importlib.metadata import version as version_of

project = "aioredis_patterns"
author = copyright = "aioredis_patterns contributors"
version = release = version_of("aioredis-patterns")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# Pygments takes some comparisons of Lua for what they are not.
suppress_warnings = ["misc.highlighting_failure"]
html_theme = "furo"
html_title = "aioredis_patterns"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
default_role = "code"
