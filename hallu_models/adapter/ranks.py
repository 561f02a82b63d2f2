"""Runs of several processes."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

from loguru import logger


@contextlib.contextmanager
def ending_all(processes: int) -> Iterator[None]:
    """An error inside ends this process with status 1 where it is one of several, after it was printed.

    lmms-eval reports an error and ends with status 0, so the launcher would let the other processes wait for this one,
    for days. On any other status torchrun and accelerate end them and report a failure.
    """
    try:
        yield
    except Exception as error:
        if processes == 1:
            raise
        traceback.print_exc()
        logger.error(f"{error}; this ends all {processes} processes")
        sys.stdout.flush()
        sys.stderr.flush()
        # Leaving in good order would wait for the others on the way out.
        os._exit(1)
