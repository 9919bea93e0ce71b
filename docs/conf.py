"""How `make docs` builds the pages in this folder. The API pages come from the docstrings."""

import importlib
import pkgutil

from sphinx.pycode import ModuleAnalyzer

import steve

project = "steve"
author = "The steve authors"
copyright = author
version = release = steve.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"steve {release}"
html_copy_source = False

myst_heading_anchors = 3  # so that [a link](page.md#a-heading) works here as on any other site that shows Markdown

# Docstrings set code in single backticks, as Markdown does.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

# Names of other packages, and types without a page of their own, have nowhere to lead: what is public here is steve.
nitpick_ignore_regex = [("py:.*", rf"(?!steve\.({'|'.join(steve.__all__)})\b).*")]


def collect_attribute_docs() -> None:
    """Put the docstrings of fields where autodoc looks for them: in `steve`, the module that public classes say they are of."""
    title = ModuleAnalyzer.for_module("steve")
    title.analyze()
    for found in pkgutil.walk_packages(steve.__path__, "steve."):
        if found.name.startswith(("steve.demo", "steve.__main__")):
            continue  # it needs what only `steve-jobs[demo]` installs
        importlib.import_module(found.name)
        module = ModuleAnalyzer.for_module(found.name)
        module.analyze()
        for (scope, name), lines in module.attr_docs.items():
            if scope.partition(".")[0] in steve.__all__:
                title.attr_docs[scope, name] = lines


collect_attribute_docs()
