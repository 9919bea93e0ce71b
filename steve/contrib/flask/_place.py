"""Whether `steve.start(app)` has something to do in this process.

`flask run` with its reloader loads the app twice: in a parent, which only looks at files, and in a child, which serves. Other
commands of Flask's, such as `flask routes` or `flask db upgrade`, load the app too, and end soon.
"""

from __future__ import annotations

import os

import click
from flask.cli import ScriptInfo
from flask.helpers import get_debug_flag


def why_not_here() -> str | None:
    """Why no jobs are run in this process, as a sentence. None: they are."""
    context = click.get_current_context(silent=True)
    if context is None or context.find_object(ScriptInfo) is None:
        return None  # a server such as gunicorn, a script, or a command line of another program
    # With --no-reload the app is in debug mode, and there is only one process: click knows, and nothing else does.
    reload = context.params.get("reload")
    return why_not(
        "run" if context.command.name == "run" and "reload" in context.params else context.command_path,
        reloads=get_debug_flag() if reload is None else bool(reload),
        is_child=os.environ.get("WERKZEUG_RUN_MAIN") == "true",
    )


def why_not(command: str, *, reloads: bool, is_child: bool) -> str | None:
    """`command`: "run", or what was typed for another command."""
    if command != "run":
        return f"steve.start(app) starts nothing under `{command}`; if it should, call steve.manager(app).start()"
    if reloads and not is_child:
        return "steve: the reloader runs no jobs; the process that serves runs them"
    return None
