"""gunicorn with an application of a test."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from types import TracebackType

from tests.child import ROOT
from tests.conftest import until
from tests.ports import free_port


class Gunicorn:
    """gunicorn in the folder of the application. `with` it runs, until the end of the block."""

    def __init__(self, folder: Path, app: str, *options: str, **environ: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by __exit__
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", *options, app],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": f"{folder}:{ROOT}"} | environ,
            stdout=self._errors,
            stderr=self._errors,
        )

    def __enter__(self) -> Gunicorn:
        until(self._answers, timeout=60)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        finally:
            self._process.kill()
            self._process.wait()
            if error is not None:
                self._errors.seek(0)
                error.add_note(self._errors.read())
            self._errors.close()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "gunicorn has ended"
        try:
            with urllib.request.urlopen(self.url, timeout=5):
                return True
        except OSError:  # nobody listens yet, or its processes have not begun to answer
            return False
