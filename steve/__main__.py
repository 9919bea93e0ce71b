"""`python -m steve`: the command line, see `cli/`."""

import sys

from steve.cli import main

sys.exit(main())
