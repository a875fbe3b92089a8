"""Which topic the cursors of the WebSocket are of: asked of the broker once, however long it takes to answer."""

from __future__ import annotations

import asyncio
import logging

from api.cursor import mark_of
from connectors.errors import TocsinError
from connectors.settings import KafkaSettings
from connectors.topics import topic_identity

log = logging.getLogger(__name__)

PATIENCE_S = 1.0
"""Of one question; a thread that asks holds up the end of the process."""
PAUSE_S = 0.5


async def learn_mark(settings: KafkaSettings, topic: str) -> str:
    """The mark of a topic, see ``api.cursor``."""
    patient = settings.model_copy(update={"delivery_timeout_s": PATIENCE_S})
    while True:
        try:
            return mark_of(await asyncio.to_thread(topic_identity, patient, topic))
        except TocsinError as error:
            log.debug("%s: not known yet: %s", topic, error)
        await asyncio.sleep(PAUSE_S)
