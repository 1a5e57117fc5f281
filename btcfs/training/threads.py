"""How many threads numerical libraries take: one where the work is small."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

FEW_CELLS = 5_000_000  # seconds of work for one thread, even for boosted trees


def few_threads(cells: int) -> AbstractContextManager[object]:
    """For a with block around fits or predictions on so many values: one thread of OpenMP and BLAS if they are few.

    Threads that share milliseconds of work wait for each other by spinning, and beside another busy program one of them
    waits for a processor at every step: boosted trees on 2,000 rows took 1.6 s on one thread and 46 s on two.
    Libraries that are loaded within the block are not limited.
    """
    if cells > FEW_CELLS:
        return nullcontext()
    try:
        from threadpoolctl import threadpool_limits
    except ModuleNotFoundError:  # it comes with scikit-learn; another library has its own threads
        return nullcontext()
    one: AbstractContextManager[object] = threadpool_limits(1)
    return one
