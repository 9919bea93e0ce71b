"""How `make docs` builds the pages in this folder. The API pages come from the docstrings."""

import re
import sys

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
autodoc_type_aliases = {"ErrorTypes": "ErrorTypes"}  # `type[...]` would lead to the field `type` of a Job
python_maximum_signature_line_length = 100
python_use_unqualified_type_names = True

# Names of other packages, and types without a page of their own, have nowhere to lead: what is public here is steve.
nitpick_ignore_regex = [("py:.*", rf"(?!steve\.({'|'.join(steve.__all__)})\b).*")]


# `type` in an annotation is Python's: Job.type and NewJob.type are no other candidates.
suppress_warnings = ["ref.python"]


def collect_attribute_docs() -> None:
    """Put the docstrings of fields where autodoc looks for them: in `steve`, the module that public classes say they are of."""
    title = ModuleAnalyzer.for_module("steve")
    title.analyze()
    for name in steve.__all__:
        getattr(steve, name)  # imports what is imported when it is used first
    for name in [name for name in sys.modules if name.startswith("steve.")]:
        module = ModuleAnalyzer.for_module(name)
        module.analyze()
        for (scope, attribute), lines in module.attr_docs.items():
            if scope in steve.__all__:
                title.attr_docs[scope, attribute] = lines


collect_attribute_docs()


def hide_private_parameters(app, what, name, obj, options, signature, returned):  # type: ignore[no-untyped-def]
    """`_tuning` is for steve's own tests."""
    return (re.sub(r", _\w+: [^,]+ = \w+\(.*\)(?=\)$)", "", signature), returned) if signature else None


def setup(app):  # type: ignore[no-untyped-def]
    app.connect("autodoc-process-signature", hide_private_parameters)
