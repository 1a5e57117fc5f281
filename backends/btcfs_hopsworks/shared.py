"""What the stores on one session have in common."""

from __future__ import annotations

import attrs

from btcfs_hopsworks.commits import Writer
from btcfs_hopsworks.gateway.session import Session
from btcfs_hopsworks.history import Logs
from btcfs_hopsworks.ledger import Ledger
from btcfs_hopsworks.quota import QuotaMeter
from btcfs_hopsworks.serving import Doors
from btcfs_hopsworks.turns import Turns


@attrs.frozen(eq=False)
class Shared:
    """The parts of a store that know the cluster; ``meter`` counts the calls."""

    session: Session
    ledger: Ledger
    logs: Logs
    doors: Doors
    writer: Writer
    turns: Turns
    meter: QuotaMeter


def shared_by(session: Session) -> Shared:
    """The parts for a new session."""
    ledger, logs = Ledger(session), Logs(session)
    return Shared(
        session,
        ledger,
        logs,
        Doors(session, logs),
        Writer(session, ledger, logs),
        Turns(session.address.place, session.address.title),
        session.meters[0],
    )
