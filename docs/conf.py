import re
from importlib.metadata import version as version_of
from typing import Any

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


def setup(app: Any) -> None:
    """What Sphinx asks for."""
    app.connect("autodoc-process-docstring", take_fences)


def take_fences(*told: Any) -> None:
    """A docstring's fenced block of Python, as in Markdown, becomes one of reStructuredText."""
    lines: list[str] = told[-1]
    found, inside = list[str](), False
    for line in lines:
        fence = re.fullmatch(r"( *)```(?:python)?", line)
        if fence is None:
            found.append(f"   {line}" if inside else line)
        elif inside := not inside:
            found += [f"{fence[1]}.. code-block:: python", ""]
    lines[:] = found
