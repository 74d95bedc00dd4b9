"""Driver. The shared journal that a NameNode's configuration names (decision D10)."""

from __future__ import annotations

import logging

from hdfsd.base.ids import NamespaceInfo
from hdfsd.base.nameservices import SharedDirectory
from hdfsd.base.settings import NameNodeSettings
from hdfsd.namenode.directory_journal import FENCING_NEEDED, DirectoryJournal
from hdfsd.ports.journal import Journal
from hdfsd.ports.process import ProcessPorts
from hdfsd.quorum.manager import QuorumJournal

log = logging.getLogger(__name__)


def tell_what_it_needs(settings: NameNodeSettings) -> None:
    """At start: a shared directory is only as safe as the fencing."""
    if isinstance(settings.journal, SharedDirectory):
        log.warning(FENCING_NEEDED, settings.journal.path)


def open_journal(
    settings: NameNodeSettings, info: NamespaceInfo, ports: ProcessPorts, user: str
) -> Journal:
    """There must be one in the settings."""
    assert settings.journal is not None
    if isinstance(settings.journal, SharedDirectory):
        return DirectoryJournal(
            settings.journal.path, info, disk=ports.disk, clock=ports.clock, dice=ports.dice
        )
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
