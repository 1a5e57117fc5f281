"""The thread that reads the topics of an emulated cluster, for the online store and the materialisation jobs."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

import attrs
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from btcfs_hopsworks.emulator.broker import QUIET, Broker
from btcfs_hopsworks.emulator.records import Record, record_of

logger = logging.getLogger(__name__)

_BATCH = 5000
_POLL = 0.02
_CATCH_UP = 60.0


class RowsLost(Exception):
    """The broker forgot messages before they were read."""


@attrs.define
class TopicReader:
    """A thread that reads every followed topic as rows arrive, and hands them on in order.

    It reads at once even what only a later job needs, because the mock broker forgets what is not read. Each of the
    two consumers of a topic therefore keeps its own backlog, as each keeps its own offsets in a real cluster.
    """

    broker: Broker
    on_records: Callable[[Sequence[Record]], None]
    _consumer: Consumer = attrs.field(init=False, repr=False)
    _positions: dict[tuple[str, int], int] = attrs.field(factory=dict, init=False)
    _wanted: deque[tuple[str, threading.Event]] = attrs.field(factory=deque, init=False, repr=False)
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False, repr=False)
    _empty_polls: int = attrs.field(default=0, init=False)
    _lost: int = attrs.field(default=0, init=False)
    _since_ms: int = attrs.field(factory=lambda: int(time.time() * 1000), init=False)
    _stopping: threading.Event = attrs.field(factory=threading.Event, init=False, repr=False)
    _thread: threading.Thread = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._consumer = Consumer(
            {
                **QUIET,
                "bootstrap.servers": self.broker.bootstrap_servers,
                "group.id": "emulator",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                # The mock answers an empty fetch, and any that came in the meantime, only after this time.
                "fetch.wait.max.ms": 20,
                # librdkafka's own threads read ahead of this one without bound: the mock forgets what is not read.
                "queued.min.messages": 10_000_000,
                "queued.max.messages.kbytes": 2_000_000,
            }
        )
        self._thread = threading.Thread(target=self._run, name="emulator-kafka", daemon=True)
        self._thread.start()

    def follow(self, topic: str) -> None:
        """Reads a topic from its beginning, making it if need be; nothing if it is followed already."""
        if any(name == topic for name, _ in list(self._positions)):
            return
        done = threading.Event()
        self._wanted.append((topic, done))
        if not done.wait(_CATCH_UP):
            raise TimeoutError(f"topic {topic} could not be followed within {_CATCH_UP:g} s")

    def catch_up(self, topic: str) -> None:
        """Returns when everything that the topic held at the call has been handed on.

        RowsLost if some of what any topic held was forgotten before it could be read; TimeoutError after a minute.
        """
        mine = [place for place in list(self._positions) if place[0] == topic]
        ends = {place: self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=10)[1] for place in mine}
        # A poll that finds nothing shows that the last batch is whole: some brokers report too low an end.
        deadline, polls = time.monotonic() + _CATCH_UP, self._empty_polls
        with self._changed:
            while any(self._positions[place] < end for place, end in ends.items()) or self._empty_polls == polls:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"topic {topic} could not be read to its end within {_CATCH_UP:g} s")
        if self._lost:
            lost, self._lost = self._lost, 0
            raise RowsLost(f"the broker forgot {lost} rows before they were read: write in smaller batches")

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(10)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._follow_wanted()
                if self._positions:
                    self._hand_on(self._consumer.consume(_BATCH, timeout=_POLL))
                else:
                    self._stopping.wait(_POLL)
        finally:
            self._consumer.close()

    def _follow_wanted(self) -> None:
        while self._wanted:
            topic, done = self._wanted[0]
            try:
                added = [(topic, number) for number in self.broker.partitions(topic)]
            except KafkaException as exc:
                logger.warning("topic %s cannot be followed yet: %s", topic, exc)
                return
            self._positions.update({place: self._begin(place) for place in added if place not in self._positions})
            self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._positions.items()])
            self._wanted.popleft()
            done.set()

    def _begin(self, place: tuple[str, int]) -> int:
        # A broker that outlives the emulator holds rows of groups that are no more, whose numbers are in use again.
        # Some (tansu 0.6) report an end before the last rows, so those are told by their time as well.
        return 0 if self.broker.forgets else int(self._consumer.get_watermark_offsets(TopicPartition(*place))[1])

    def _hand_on(self, messages: Iterable[Message]) -> None:
        records: list[Record] = []
        ends: dict[tuple[str, int], int] = {}
        for message in messages:
            topic, partition, offset = message.topic(), message.partition(), message.offset()
            if message.error() is not None or topic is None or partition is None or offset is None:
                logger.warning("reading from Kafka: %s", message.error())
                continue
            place = (topic, partition)
            expected = ends.get(place, self._positions[place])
            if offset < expected:
                continue
            self._lost += offset - expected if self.broker.forgets else 0
            ends[place] = offset + 1
            if message.timestamp()[1] < self._since_ms:
                continue
            try:
                record = record_of(message)
            except ValueError as exc:
                logger.warning("message %d of %s, partition %d, is left out: %s", offset, topic, partition, exc)
                continue
            if record is not None:
                records.append(record)
        if records:
            self.on_records(records)
        with self._changed:
            self._positions.update(ends)
            self._empty_polls += not ends
            self._changed.notify_all()
