"""The Kafka of an emulated cluster: librdkafka's mock cluster in this process, or a real broker's address."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

QUIET = {"log_level": 2}
"""Settings for librdkafka: it would otherwise print to the process's stderr."""

_TIMEOUT = 10.0


@attrs.frozen
class Broker:
    """A broker that clients reach at ``bootstrap_servers``.

    ``forgets`` is True for the mock, which keeps only the newest 5 MB and 100 000 rows of a partition, read or not.
    """

    bootstrap_servers: str
    forgets: bool
    _keep: object = attrs.field(default=None, repr=False)
    _stop: Callable[[], None] | None = attrs.field(default=None, repr=False)

    def partitions(self, topic: str) -> Sequence[int]:
        """The partitions of a topic, which is made if it is not there. KafkaException if the broker does not answer."""
        if not self.forgets:
            _create(self.bootstrap_servers, topic)
        producer = Producer({**QUIET, "bootstrap.servers": self.bootstrap_servers})
        found = producer.list_topics(topic, timeout=_TIMEOUT).topics[topic]
        if found.error is not None:
            raise KafkaException(found.error)
        return tuple(sorted(found.partitions))

    def close(self) -> None:
        if self._stop is not None:
            self._stop()


def mock_broker() -> Broker:
    """One broker of librdkafka's mock cluster, on a free port of 127.0.0.1, alive as long as the value is.

    Topics come into being with four partitions when a client asks for them.
    """
    owner = Producer({**QUIET, "test.mock.num.brokers": 1})
    brokers = owner.list_topics(timeout=_TIMEOUT).brokers.values()
    return Broker(",".join(f"{each.host}:{each.port}" for each in brokers), forgets=True, keep=owner)


def broker_at(bootstrap_servers: str, stop: Callable[[], None] | None = None) -> Broker:
    """A real broker; ``stop`` ends it if it is ours. ConnectionError if it does not answer."""
    client = AdminClient({**QUIET, "bootstrap.servers": bootstrap_servers})
    try:
        client.list_topics(timeout=_TIMEOUT)
    except KafkaException as exc:
        raise ConnectionError(f"no Kafka broker answers at {bootstrap_servers}: {exc}") from exc
    return Broker(bootstrap_servers, forgets=False, stop=stop)


def _create(bootstrap_servers: str, topic: str) -> None:
    client = AdminClient({**QUIET, "bootstrap.servers": bootstrap_servers})
    if topic in client.list_topics(timeout=_TIMEOUT).topics:
        return
    client.create_topics([NewTopic(topic, num_partitions=4, replication_factor=1)])[topic].result(_TIMEOUT)
