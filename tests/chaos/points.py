"""The named points at which an app process can be killed or storage can fail: before and after calls through ports."""

from __future__ import annotations

from shared.domain.messages import Queue

BEFORE, MIDDLE, AFTER = "before", "middle", "after"


def point(call: str, where: str) -> str:
    return f"{call}@{where}"


# Calls that change something: dying before one and dying after it leave different things behind.
WRITES = (
    "signings.create",
    "signings.save",
    "signings.claim",
    "signings.mark_due",
    "signings.mark_all_due",
    "signings.settle_all_due",
    "pace.reserve",
    "signings.record_delivery",
    "documents.stage",
    "documents.delete_staged",
    "documents.write_once",
    *(f"queue.send.{queue.value}" for queue in (Queue.STARTS, Queue.EVENTS, Queue.DOWNLOADS, Queue.NOTIFICATIONS)),
    "replies.send",
    "notifier.deliver",
    "start_log.checkpoint",
    "start_log.inviting",
    "provider.start",
)
# Calls that only look: dying after one is dying before the next.
READS = (
    "signings.load",
    "signings.due",
    "documents.read_staged",
    "provider.status",
    "provider.deliverables",
    "provider.fetch",
    "provider.prove_start",
)
# Between the first block of a file and its commit.
WRITING = point("documents.write_once", MIDDLE)

CRASH_POINTS = (
    *(point(call, where) for call in WRITES for where in (BEFORE, AFTER)),
    *(point(call, BEFORE) for call in READS),
    WRITING,
)
STORAGE = ("signings.", "documents.", "queue.", "pace.", "replies.")
FAULT_POINTS = tuple(one for one in CRASH_POINTS if one.startswith(STORAGE) and one != WRITING)
