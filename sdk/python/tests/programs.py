"""Programs that use the SDK, which tests start, stop and signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .kube import WITHIN

# A shell starts what runs in the background with SIGINT ignored, and programs would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Program:
    """A program that runs, and what it prints line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """Returns the next line; an empty one if it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str]:
        """Waits for its end; returns the exit code, and what it has printed since."""
        printed, _ = self.process.communicate(timeout=WITHIN)
        return self.process.returncode, printed.strip()


@contextmanager
def program(source: str | Path, kubeconfig: Path, **environment: str) -> Iterator[Program]:
    """Runs a program: a file, or its text."""
    arguments = [str(source)] if isinstance(source, Path) else ["-c", textwrap.dedent(source)]
    process = subprocess.Popen(
        [sys.executable, "-u", *arguments],
        env={**os.environ, "KUBECONFIG": str(kubeconfig), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.communicate()
