"""Words and shapes both ways, as tables."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.signing import Progress, Signing
from shared.domain.states import EventKind
from shared.ports import ParticipantProgress
from shared.providers.signicat import mapping, wire
from shared.providers.signicat.mapping import TaskReading
from tests.providers.signicat.samples import NOW, document, observer, signer, signing
from tests.providers.signicat.test_operations import CONFIG, everything

ACCEPTED, SIGNED = EventKind.ACCEPTED, EventKind.ALL_SIGNED


def read(*statuses: str, viewer: str | None = None) -> list[TaskReading]:
    """Signers with these statuses, and perhaps an observer after them."""
    tasks = [TaskReading(f"participant-{number}", status) for number, status in enumerate(statuses, start=1)]
    last = TaskReading(f"participant-{len(tasks) + 1}", viewer, only_views=True) if viewer else None
    return [*tasks, last] if last else tasks


# (statuses of signers, of an observer, of packaging) -> what it means, and in which word
STATUSES = {
    ("CREATED",): (None, (), ACCEPTED, "CREATED"),
    ("COMPLETED", "CREATED"): (None, (), ACCEPTED, "CREATED"),
    ("COMPLETED", "COMPLETED"): (None, ("CREATED",), ACCEPTED, "PACKAGING_CREATED"),
    ("COMPLETED",): (None, ("COMPLETED", "CREATED"), ACCEPTED, "PACKAGING_CREATED"),
    ("COMPLETED", " "): (None, ("COMPLETED", "COMPLETED"), None, " "),
    ("REJECTED", "CREATED"): (None, (), EventKind.DECLINED, "REJECTED"),
    ("EXPIRED", "COMPLETED"): (None, ("CREATED",), EventKind.EXPIRED, "EXPIRED"),
    ("EXPIRED", "REJECTED"): (None, (), EventKind.DECLINED, "REJECTED"),
    ("DELETED", "DELETED"): (None, (), EventKind.CANCELLED, "DELETED"),
    ("FAILED", "EXPIRED"): (None, (), EventKind.FAILED, "FAILED"),
    ("REJECTED", "PAUSED"): (None, (), EventKind.DECLINED, "REJECTED"),
    ("PAUSED", "CREATED"): (None, (), None, "PAUSED"),
    (): (None, ("COMPLETED",), None, "NO_TASKS"),
    ("COMPLETED", "PAUSED"): (None, ("COMPLETED",), None, "PAUSED"),
}


@pytest.mark.parametrize(("tasks", "meaning"), STATUSES.items())
def test_the_status_of_an_order_is_that_of_its_tasks_and_packages(
    tasks: tuple[str, ...], meaning: tuple[str | None, tuple[str, ...], EventKind | None, str]
) -> None:
    viewer, packaging, kind, word = meaning
    found = mapping.status_of(read(*tasks, viewer=viewer), packaging)
    assert (found.kind, found.provider_status, found.known) == (kind, word, kind is not None)


@pytest.mark.parametrize(
    ("packaging", "kind", "word"),
    [
        ((), SIGNED, "COMPLETED"),
        (("COMPLETED",), SIGNED, "COMPLETED"),
        (("COMPLETED", "COMPLETED"), SIGNED, "COMPLETED"),
        (("COMPLETED", "CREATED"), ACCEPTED, "PACKAGING_CREATED"),
        (("CREATED", "FAILED"), EventKind.FAILED, "PACKAGING_FAILED"),
        (("MELTED",), None, "PACKAGING_MELTED"),
        (("COMPLETED", "MELTED"), None, "PACKAGING_MELTED"),
    ],
)
def test_completed_means_packaged(packaging: tuple[str, ...], kind: EventKind | None, word: str) -> None:
    found = mapping.status_of(read("COMPLETED", "COMPLETED"), packaging)
    assert (found.kind, found.provider_status, found.known) == (kind, word, kind is not None)


@pytest.mark.parametrize(
    ("signers", "viewer", "kind"),
    [
        (("COMPLETED",), "CREATED", ACCEPTED),
        (("COMPLETED",), "COMPLETED", SIGNED),
        (("COMPLETED",), "EXPIRED", SIGNED),
        (("CREATED",), "EXPIRED", ACCEPTED),
        (("CREATED",), "REJECTED", ACCEPTED),
        (("REJECTED",), "COMPLETED", EventKind.DECLINED),
    ],
)
def test_who_only_views_can_hold_up_but_not_end(signers: tuple[str, ...], viewer: str, kind: EventKind) -> None:
    assert mapping.status_of(read(*signers, viewer=viewer), ("COMPLETED",)).kind is kind


def test_the_tables_have_every_known_status_and_no_other() -> None:
    assert set(mapping.TASK_STATUSES) == set(wire.TaskStatus)
    assert set(mapping.PACKAGING_STATUSES) == set(wire.PackagingTaskStatus)


def test_a_refusal_keeps_its_reason() -> None:
    found = mapping.status_of([TaskReading("participant-1", "REJECTED", reason="Too dear")], ())
    assert found.reason == "Too dear"


def test_progress_tells_who_signed_viewed_and_refused() -> None:
    people = signing(signer(1), signer(2), observer(3), signer(4))
    tasks = [
        TaskReading("participant-1", "COMPLETED"),
        TaskReading("participant-2", "REJECTED"),
        TaskReading("participant-3", "COMPLETED", only_views=True),
        TaskReading("participant-4", "CREATED"),
    ]
    assert mapping.status_of(tasks, (), people).participants == (
        ParticipantProgress(1, Progress.SIGNED),
        ParticipantProgress(2, Progress.DECLINED),
        ParticipantProgress(3, Progress.RECEIVED),
    )


@pytest.mark.parametrize("left_as", ["DELETED", "CREATED", "EXPIRED"])
def test_who_got_a_task_handed_over_stands_for_who_had_it(left_as: str) -> None:
    people = signing(signer(1), signer(2))

    def tasks(successor: str) -> list[TaskReading]:
        return [
            TaskReading("participant-1", left_as),
            TaskReading("participant-2", "COMPLETED"),
            TaskReading("x", "DELETED", stands_for="participant-1"),
            TaskReading("y", successor, stands_for="x"),
        ]

    still_open = mapping.status_of(tasks("CREATED"), (), people)
    assert (still_open.kind, [one.number for one in still_open.participants]) == (ACCEPTED, [2])
    done = mapping.status_of(tasks("COMPLETED"), ("COMPLETED",), people)
    assert (done.kind, [one.number for one in done.participants]) == (SIGNED, [1, 2])
    assert mapping.status_of(tasks("REJECTED"), (), people).kind is EventKind.DECLINED


def test_who_signs_and_adds_somebody_has_signed_when_both_have() -> None:
    tasks = [TaskReading("participant-1", "COMPLETED"), TaskReading("x", "CREATED", stands_for="participant-1")]
    found = mapping.status_of(tasks, (), signing(signer(1)))
    assert (found.kind, found.participants) == (ACCEPTED, ())


# -------------------------------------------------------------------------------------------- domain -> wire


def made(of: Signing, callback_url: str = "https://app.example.org/cb") -> dict[str, Any]:
    """The order as it goes over the wire."""
    body = mapping.to_wire_order(of, CONFIG, {1: "a", 2: "b"}, callback_url)
    order: dict[str, Any] = json.loads(body.model_dump_json(exclude_none=True))
    return order


def test_two_days_and_an_hour_are_three_days() -> None:
    of = signing(signer(1), signer(2, deadline=NOW + timedelta(hours=1)), deadline=NOW + timedelta(days=2, hours=1))
    assert [mapping.days_to_live(of, one, CONFIG) for one in of.participants] == [3, 1]
    assert mapping.days_to_live(signing(), signer(1), CONFIG) == 7


@pytest.mark.parametrize(
    ("wished", "sent"),
    [("nb", "nb"), ("no", "nb"), ("NN", "nb"), ("sv-SE", "sv"), ("fi", "fi"), ("de", "en"), (None, "en")],
)
def test_languages_fall_back_to_english(wished: str | None, sent: str) -> None:
    assert mapping.language_of(signer(1), signing(language=wished), CONFIG) == sent


def test_every_notification_has_an_address_of_its_own() -> None:
    """Else two different calls could be taken for a repetition of one."""
    sent = made(everything(), "https://app.example.org/cb/mac?code=7")
    parts = [sent, *sent["tasks"], *sent["packagingTasks"]]
    called = [one for part in parts for one in part["notifications"] if one["type"] == "URL"]
    addresses = [one["recipient"] for one in called]
    assert len(set(addresses)) == len(addresses) == 1 + 4 + 3 + 3 + 2
    assert len({one["id"] for one in called}) == len(called)
    prefix = f"https://app.example.org/cb/mac?code=7&notice={everything().id}."
    assert all(one.startswith(prefix) for one in addresses)
    assert f"{prefix}participant-1.CREATED" in addresses
    assert f"{prefix}package-2.COMPLETED" in addresses


def test_a_reminder_waits_for_its_days() -> None:
    mails = [one for one in made(signing())["tasks"][0]["notifications"] if one["type"] == "EMAIL"]
    assert [one["schedule"] for one in mails] == [
        [{"triggerStatus": "CREATED"}],
        [{"triggerStatus": "CREATED", "delay": {"days": 3}}],
    ]


def test_a_title_cannot_break_out_of_its_header() -> None:
    notifications = made(signing(title="Lease\r\nBcc: all"))["tasks"][0]["notifications"]
    assert {one["header"] for one in notifications if one["type"] == "EMAIL"} == {"Lease Bcc: all"}


def test_a_document_without_its_ending_gets_it() -> None:
    (first, second) = mapping.packages_of(signing(documents=(document(1, name="Lease"), document(2, name="x.PDF"))))
    assert (first.name, second.name) == ("Lease.pdf", "x.PDF")


def test_ids_that_are_not_ours_never_become_file_names() -> None:
    names = {mapping.statement_of(task, "document-1").name for task in ("../../etc/passwd", "participant-1", "x y")}
    assert "participant-1-document-1.sdo" in names
    assert len(names) == 3
    assert not any("/" in name or " " in name for name in names)


# ------------------------------------------------------------------------------------------------------ wire


def test_answers_take_nulls_unknown_members_and_unknown_words() -> None:
    order = wire.SigningOrder.model_validate_json(
        """{"id": "o", "clientReference": null, "surprise": 1, "tasks": [{"id": "t", "documents": [
        {"id": "d", "action": "STAMP", "source": "ARCHIVE", "form": null}], "signingUrl": "https://x.example/secret",
        "notifications": [{"type": "PIGEON", "schedule": [{"triggerStatus": "LATER", "delay": {"days": 1}}]}]}]}"""
    )
    (task,) = order.tasks
    assert task.documents is not None
    assert task.documents[0].action == "STAMP"
    assert "secret" not in repr(order)
