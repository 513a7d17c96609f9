"""What people, time and the platform do to an order: pages, notifications, clock, packaging, delivery, faults."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal
from urllib.parse import parse_qsl, urlsplit

import pytest

from local.sandbox.answers import Problem
from local.sandbox.signicat import CallbackKnobs, SignicatSandbox
from local.sandbox.signicat.state import Status
from tests.local.sandbox.client import Receiver
from tests.local.sandbox.signicat.client import CONTRACT, Client, order, task, url_notice

EVERY_TRIGGER = ("CREATED", "STARTED", "COMPLETED", "REJECTED", "EXPIRED", "FORWARDED")


def told(sandbox: SignicatSandbox) -> list[str]:
    return [one.trigger for one in sandbox.callbacks_sent]


# ---------------------------------------------------------------------------------------------------- pages


async def test_a_person_signs_in_the_browser(sandbox: SignicatSandbox, client: Client) -> None:
    back = {"onTaskComplete": "https://app.example.org/done?order=${requestId}&task=${taskId}"}
    document = await client.uploaded()
    made = await client.ordered(order(task(1, document, **back), task(2, document, dependsOnTasks=["task-1"])))
    first, second = (one["signingUrl"] for one in made["tasks"])
    page = await client.http.get(first)
    assert "Reject" in page.text
    link = re.findall(r'href="([^"]+/documents/[^"]+)"', page.text)[0]
    assert (await client.http.get(f"{sandbox.base_url}{link}")).content == CONTRACT
    assert "Others have to act before you" in (await client.http.get(second)).text
    assert (await client.http.post(second, data={"choice": "sign"})).status_code == 409
    signed = await client.http.post(first, data={"choice": "sign"})
    assert (signed.status_code, signed.headers["location"]) == (
        303,
        f"https://app.example.org/done?order={made['id']}&task=task-1",
    )
    assert await client.status(made["id"]) == "COMPLETED"
    assert "Nothing more is asked of you" in (await client.http.get(first)).text
    later = await client.http.post(second, data={"choice": "postpone"})
    assert f"{sandbox.base_url}{later.headers['location']}" == second
    rejected = await client.http.post(second, data={"choice": "reject", "reason": "Too dear"})
    assert rejected.status_code == 303
    status = (await client.http.get(f"/orders/{made['id']}/tasks/task-2/status")).json()
    assert (status["taskStatus"], status["rejectReason"]) == ("REJECTED", "Too dear")
    overview = await client.http.get(f"{sandbox.base_url}/")
    assert "case-1" in overview.text


async def test_without_the_key_there_is_no_page(client: Client) -> None:
    made = await client.ordered(order(task(1, await client.uploaded())))
    address = made["tasks"][0]["signingUrl"].partition("?")[0]
    for url in (address, f"{address}?key=x", f"{address}/documents/doc?key=x"):
        assert (await client.http.get(url)).status_code == 404


# -------------------------------------------------------------------------------------------- notifications


async def test_notifications_follow_their_triggers(
    sandbox: SignicatSandbox, client: Client, receiver: Receiver
) -> None:
    document = await client.uploaded()
    mail = {"id": "m", "recipient": "ada@example.org", "message": "Sign ${taskUrl} of ${orderId}", "type": "EMAIL"}
    body = order(
        task(1, document, notifications=[url_notice("a", receiver.url, *EVERY_TRIGGER)]),
        task(2, document, notifications=[mail | {"schedule": [{"triggerStatus": "CREATED"}]}]),
        notifications=[url_notice("o", receiver.url)],
    )
    body["packagingTasks"][0]["notifications"] = [url_notice("p", receiver.url)]
    made = await client.ordered(body)
    assert told(sandbox) == ["CREATED"]
    await sandbox.complete(made["id"])
    await sandbox.settle()
    assert told(sandbox) == ["CREATED", "STARTED", "COMPLETED", "order.COMPLETED", "package.COMPLETED"]
    (sent,) = sandbox.order(made["id"]).mails
    assert sent.text == f"Sign {made['tasks'][1]['signingUrl']} of {made['id']}"
    queries = [dict(parse_qsl(urlsplit(one.url).query)) for one in sandbox.callbacks_sent]
    assert queries[0] == {"x": "1", "requestId": made["id"], "taskId": "task-1"}
    assert queries[-1] == {"x": "1", "requestId": made["id"]}
    assert [one.outcome for one in sandbox.callbacks_sent] == ["delivered"] * 5
    assert len(receiver.arrived) == 5


async def test_knobs_turn_calls_wrong(sandbox: SignicatSandbox, client: Client, receiver: Receiver) -> None:
    async def once(**knobs: object) -> None:
        sandbox.set_knobs(CallbackKnobs.model_validate(knobs))
        notice = url_notice("a", receiver.url, "CREATED")
        await client.ordered(order(task(1, await client.uploaded(), notifications=[notice])))
        await sandbox.settle()

    await once(drop=True)
    assert (sandbox.callbacks_sent[-1].outcome, receiver.arrived) == ("dropped", [])
    await once(copies=2)
    assert len(receiver.arrived) == 2
    await once(bare=True)
    assert sandbox.callbacks_sent[-1].url == receiver.url
    receiver.status = 503
    await once(method="POST")
    assert (sandbox.callbacks_sent[-1].outcome, sandbox.callbacks_sent[-1].answers) == ("refused", [503])
    sandbox.options.callback_base = "http://127.0.0.1:9"
    await once(delay_seconds=0.01)
    assert sandbox.callbacks_sent[-1].outcome == "unreachable"


async def test_calls_can_come_out_of_order(sandbox: SignicatSandbox, client: Client, receiver: Receiver) -> None:
    sandbox.set_knobs(CallbackKnobs(reorder=2))
    notices = [url_notice(name, f"{receiver.url}&n={name}", "CREATED") for name in ("one", "two")]
    await client.ordered(order(task(1, await client.uploaded(), notifications=notices)))
    await sandbox.settle()
    assert [one.attempts for one in sandbox.callbacks_sent] == [1, 1]
    assert len(receiver.arrived) == 2


# ---------------------------------------------------------------------------------------------------- clock


async def test_time_brings_reminders_expiry_and_deletion(sandbox: SignicatSandbox, client: Client) -> None:
    late = {"triggerStatus": "CREATED", "delay": {"days": 1, "hours": 1, "minutes": 1}}
    mail = {"id": "m", "recipient": "+4790000000", "message": "Hurry", "type": "SMS", "schedule": [late]}
    document = await client.uploaded()
    tasks = [task(number, document, daysToLive=2, notifications=[mail]) for number in (1, 2)]
    made = await client.ordered(order(*tasks, daysUntilDeletion=3))
    await sandbox.sign(made["id"])
    sandbox.advance(timedelta(days=1))
    assert sandbox.order(made["id"]).mails == []
    sandbox.advance(timedelta(hours=2))
    (sent,) = sandbox.order(made["id"]).mails
    assert (sent.type, sent.late, sent.text) == ("SMS", True, "Hurry")
    sandbox.advance(timedelta(days=1))
    assert [await client.status(made["id"], number) for number in (1, 2)] == ["COMPLETED", "EXPIRED"]
    sandbox.advance(timedelta(days=3))
    assert (await client.http.get(f"/orders/{made['id']}")).status_code == 404


# ----------------------------------------------------------------------------------- packaging and delivery


async def test_packaging_takes_its_time_and_may_fail(sandbox: SignicatSandbox, client: Client) -> None:
    sandbox.options.packaging_seconds = 0.1
    made = await client.ordered(order(task(1, await client.uploaded())))
    await sandbox.sign(made["id"])
    assert sandbox.order(made["id"]).packaging[0].status is Status.CREATED
    sandbox.options.packaging_fails = True
    await sandbox.settle()
    path = f"/orders/{made['id']}/packaging-tasks/package"
    assert (await client.http.get(f"{path}/status")).json()["packagingTaskStatus"] == "FAILED"
    assert (await client.http.get(f"{path}/result")).status_code == 404


@pytest.mark.parametrize("delivery", ["direct", "same_host", "archive", "foreign_host"])
async def test_results_lie_where_they_are_said_to(
    sandbox: SignicatSandbox, client: Client, delivery: Literal["direct", "same_host", "archive", "foreign_host"]
) -> None:
    sandbox.options.delivery = delivery
    body = order(task(1, await client.uploaded()))
    body["packagingTasks"][0]["sendToArchive"] = True
    made = await client.ordered(body)
    await sandbox.complete(made["id"])
    answer = await client.http.get(f"/orders/{made['id']}/packaging-tasks/package/result")
    assert answer.status_code == (200 if delivery == "direct" else 303)
    if answer.status_code == 303:
        address = answer.headers["location"]
        address = address if address.startswith("http") else f"{sandbox.base_url}{address}"
        assert address.startswith(sandbox.base_url) == (delivery != "foreign_host")
        without = await client.http.get(address, headers={"Authorization": ""})
        assert without.status_code == (200 if delivery == "foreign_host" else 401)
        answer = await client.http.get(address)
    assert answer.content == sandbox.order(made["id"]).packaging[0].result


# --------------------------------------------------------------------------------------- faults and switches


async def test_events_are_written_in_every_way(sandbox: SignicatSandbox, client: Client) -> None:
    made = await client.ordered(order(task(1, await client.uploaded())))
    await sandbox.complete(made["id"])
    path = f"/orders/{made['id']}/tasks/task-1/events"
    events = (await client.http.get(path)).json()
    assert [one["eventType"] for one in events] == ["task-created", "task-started", "document-signed", "task-completed"]
    assert all(one["eventTime"].endswith("Z") for one in events)
    sandbox.options.event_case, sandbox.options.event_offset = "upper_snake", "+0000"
    events = (await client.http.get(path)).json()
    assert (events[0]["eventType"], events[0]["eventTime"][-5:]) == ("TASK_CREATED", "+0000")


async def test_statuses_can_be_late_or_unheard_of(sandbox: SignicatSandbox, client: Client) -> None:
    made = await client.ordered(order(task(1, await client.uploaded())))
    sandbox.options.status_override = "PAUSED"
    assert await client.status(made["id"]) == "PAUSED"
    sandbox.options.status_override = None
    await sandbox.complete(made["id"])
    sandbox.fault("late_status", times=1)
    assert [await client.status(made["id"]) for _ in range(2)] == ["CREATED", "COMPLETED"]


async def test_a_forwarded_task_is_another_task(sandbox: SignicatSandbox, client: Client) -> None:
    made = await client.ordered(order(task(1, await client.uploaded())))
    successor = sandbox.forward(made["id"], "bob@example.org")
    (details,) = (await client.http.get(f"/orders/{made['id']}/tasks/{successor}/forwards")).json()
    assert (details["originalTaskId"], details["recipientEmail"]) == ("task-1", "bob@example.org")
    assert await client.status(made["id"]) == "DELETED"
    tasks = (await client.http.get(f"/orders/{made['id']}")).json()["tasks"]
    assert [one["id"] for one in tasks] == ["task-1", successor]


async def test_nobody_acts_twice(sandbox: SignicatSandbox, client: Client) -> None:
    made = await client.ordered(order(task(1, await client.uploaded())))
    await sandbox.sign(made["id"])
    with pytest.raises(Problem):
        await sandbox.sign(made["id"])
    with pytest.raises(Problem):
        await sandbox.decline(made["id"], "task-1")


async def test_everything_by_http(sandbox: SignicatSandbox, client: Client) -> None:
    document = await client.uploaded()
    control = f"{sandbox.base_url}/_sandbox"
    ends = {"sign": "COMPLETED", "complete": "COMPLETED", "decline": "REJECTED", "expire": "EXPIRED"}
    for deed, status in {**ends, "withdraw": "DELETED"}.items():
        made = await client.ordered(order(task(1, document)))
        assert (await client.http.post(f"{control}/orders/{made['id']}/{deed}")).status_code == 204
        assert await client.status(made["id"]) == status
    listed = (await client.http.get(f"{control}/orders")).json()
    assert [one["tasks"]["task-1"] for one in listed] == [*ends.values(), "DELETED"]
    assert (await client.http.post(f"{control}/options", json={"permission": False})).status_code == 204
    assert (await client.http.get("/orders/x")).status_code == 403
    assert (await client.http.post(f"{control}/callbacks/knobs", json={"drop": True})).status_code == 204
    assert sandbox.desk.knobs.drop
    assert (await client.http.get(f"{control}/callbacks")).json() == []
    assert (await client.http.post(f"{control}/clock", json={"days": 1})).status_code == 204
    assert sandbox.state.offset == timedelta(days=1)
