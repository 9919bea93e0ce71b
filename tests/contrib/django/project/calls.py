"""Gives each of these lists of arguments, as JSON, to `manage.py steve`, and writes what it says: a process for each would take
much longer."""

import contextlib
import io
import json
import sys
import traceback

from django.core.management import ManagementUtility

said = []
for arguments in json.loads(sys.argv[1]):
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        try:
            ManagementUtility(["manage.py", "steve", *arguments]).execute()
        except SystemExit as end:
            assert end.code
        except Exception:
            traceback.print_exc(file=text)
    said.append(text.getvalue())
print(json.dumps(said))
