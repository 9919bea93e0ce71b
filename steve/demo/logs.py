"""Shows steve's warnings above the progress display."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.logging import RichHandler


@contextmanager
def warnings_on(console: Console) -> Iterator[None]:
    """Prints steve's warnings to the console. Those about a single job are left out: the summary lists the failed jobs."""

    def not_of_a_job(record: logging.LogRecord) -> bool:
        return not hasattr(record, "job_uid")

    logger = logging.getLogger("steve")
    handler = RichHandler(console=console, level=logging.WARNING, show_path=False)
    handler.addFilter(not_of_a_job)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate
