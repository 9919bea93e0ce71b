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
        str(context.find_root().info_name),
        serves=context.command.name == "run" and "reload" in context.params,
        reloads=get_debug_flag() if reload is None else bool(reload),
        is_child=os.environ.get("WERKZEUG_RUN_MAIN") == "true",
    )


def why_not(program: str, *, serves: bool, reloads: bool, is_child: bool) -> str | None:
    """`program`: what was typed for `flask`. `serves`: whether its command is `run`."""
    if not serves:
        return f"steve: only `{program} run` and `{program} steve worker` run jobs, unless one calls steve.manager(app).start()"
    if reloads and not is_child:
        return "steve: the reloader runs no jobs; the process that serves runs them"
    return None
