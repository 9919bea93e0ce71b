"""steve as an extension of Flask.

    from steve.contrib.flask import Steve

    steve = Steve()

    @steve.handler("welcome")
    def welcome(job): ...

    def create_app():
        app = Flask(__name__)
        steve.init_app(app)
        return app

_steve.py has Steve. It keeps what is registered with it (_kept.py) and makes a manager for each app (_manager.py) from the
config of the app (_settings.py, _uri.py). _place.py says where `steve.start(app)` has nothing to do, and _commands.py has
`flask steve`.
"""

from __future__ import annotations

from steve.contrib.flask._manager import FlaskManager
from steve.contrib.flask._steve import Steve

__all__ = ["FlaskManager", "Steve"]
