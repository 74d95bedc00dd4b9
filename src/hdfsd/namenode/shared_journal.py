"""Driver. The shared journal that a NameNode's configuration names (decision D10)."""

from __future__ import annotations

from hdfsd.base.ids import NamespaceInfo
from hdfsd.base.settings import NameNodeSettings
from hdfsd.ports.journal import Journal
from hdfsd.ports.process import ProcessPorts
from hdfsd.quorum.manager import QuorumJournal


def open_journal(
    settings: NameNodeSettings, info: NamespaceInfo, ports: ProcessPorts, user: str
) -> Journal:
    """There must be one in the settings; `qjournal://` is the only scheme they let through."""
    assert settings.journal is not None
    return QuorumJournal(
        settings.journal.nodes,
        settings.journal.journal_id,
        info,
        network=ports.network,
        http=ports.http_client,
        clock=ports.clock,
        dice=ports.dice,
        user=user,
        settings=settings.quorum,
        nameservice_id=settings.nameservice or None,
    )
