"""`GET /api/health`: can this app do its work? For load balancers and people; says nothing about accounts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from shared.api.answers import Answer
from shared.domain.errors import ConfigurationError
from shared.ports import App


async def health(current: Callable[[], Awaitable[App]]) -> Answer:
    """200 when the settings are complete and storage answers, else 503 with what is wrong, without any value."""
    try:
        app = await current()
    except ConfigurationError as error:
        return Answer(503, {"status": "misconfigured", "problems": list(error.problems)})
    try:
        await app.signings.due(app.now() - timedelta(days=3650), 1)
    except Exception as error:
        return Answer(503, {"status": "storage_unavailable", "problems": [type(error).__name__]})
    return Answer(200, {"status": "ok"})
