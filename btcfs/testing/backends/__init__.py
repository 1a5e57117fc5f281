"""``BackendTests``: the laws of ``FeatureStore`` as a test class that any backend can subclass.

::

    class TestMyBackend(BackendTests):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda **options: my_backend.connect(tmp_path, **options)

``open_store`` opens a store on the same place each time it is called; the kit passes it nothing, or
``defaults``, the entity values that online keys may leave out. Every test makes up its own names,
so the place may hold other groups and may be the same for all tests.
"""

from __future__ import annotations

from btcfs.testing.backends.commits import CommitLaws
from btcfs.testing.backends.concurrency import ConcurrencyLaws
from btcfs.testing.backends.contents import ContentLaws
from btcfs.testing.backends.definitions import DefinitionLaws
from btcfs.testing.backends.deletion import DeletionLaws
from btcfs.testing.backends.history import HistoryLaws
from btcfs.testing.backends.lifecycle import LifecycleLaws
from btcfs.testing.backends.online import OnlineLaws
from btcfs.testing.backends.reading import ReadingLaws
from btcfs.testing.backends.refusals import RefusalLaws
from btcfs.testing.backends.sequences import SequenceLaws
from btcfs.testing.backends.training import TrainingLaws
from btcfs.testing.backends.views import ViewLaws
from btcfs.testing.backends.writing import WritingLaws


class BackendTests(
    DefinitionLaws,
    DeletionLaws,
    WritingLaws,
    RefusalLaws,
    ContentLaws,
    ReadingLaws,
    HistoryLaws,
    CommitLaws,
    TrainingLaws,
    OnlineLaws,
    ViewLaws,
    LifecycleLaws,
    ConcurrencyLaws,
    SequenceLaws,
):
    """What every backend does; a subclass gives the fixture ``open_store``.

    No test is skipped: where a backend does not declare the capability that a law needs, the same
    steps must raise Unsupported.
    """
