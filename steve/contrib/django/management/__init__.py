"""Where Django looks for commands: `manage.py steve`."""
