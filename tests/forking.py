"""Children that are forked and killed, by the scripts of the tests of crashes: they have imported everything already."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable


def forked(act: Callable[[int], object]) -> tuple[int, int]:
    """The process id of a child that acts, and the end to read of the pipe that it writes to; its status is 1 if it fails."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        status = 1
        try:
            act(write)
            status = 0
        except BaseException:  # noqa: BLE001 - said here, for nobody is left above to say it
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(status)
    os.close(write)
    return child, read
