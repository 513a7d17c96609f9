"""`GET /api/health`: can this app do its work? Open to everybody, so it says nothing about accounts or settings: the
log names what is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from shared import telemetry
from shared.api.answers import Answer
from shared.domain.errors import ConfigurationError
from shared.ports import App


async def health(current: Callable[[], Awaitable[App]]) -> Answer:
    """200 when the settings are complete and storage answers, else 503 and which of the two it is."""
    try:
        app = await current()
    except ConfigurationError as error:
        return Answer(503, {"status": "misconfigured", "problems": len(error.problems)})
    try:
        await app.signings.due(app.now() - timedelta(days=3650), 1)
    except Exception as error:
        telemetry.error("storage_unavailable", reason=type(error).__name__)
        return Answer(503, {"status": "storage_unavailable"})
    return Answer(200, {"status": "ok"})
