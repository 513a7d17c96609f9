"""Every trigger, nothing else: bind in, one call, bind out. Read it as the table of contents of the app."""

from __future__ import annotations

from typing import TypeVar

import azure.functions as func

from shared import telemetry
from shared.api import catalogue, letters, manage, queue_intake, signings
from shared.api import health as health_api
from shared.api.answers import Answer, FileAnswer
from shared.bootstrap import current, utc_now
from shared.domain.messages import DownloadDocuments, Message, NotifyCaller, ProviderEvent, Queue, RunStart
from shared.flow import apply, download, notify, poison, receive, reconcile, start
from shared.flow import housekeeping as housekeeping_flow
from shared.verification.raw import RawCallback

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

STORAGE = "CountersignStorage"
# Well below `functionTimeout`: on that the host restarts the whole worker (host guide C4).
RECONCILE_SECONDS = 240.0
HOUSEKEEPING_SECONDS = 240.0

M = TypeVar("M", bound=Message)


def _respond(answer: Answer | FileAnswer) -> func.HttpResponse:
    return func.HttpResponse(
        answer.encoded(), status_code=answer.status, headers=dict(answer.headers), mimetype=answer.media_type
    )


def _read(msg: func.QueueMessage, kind: type[M]) -> M:
    message = kind.model_validate_json(msg.get_body())
    telemetry.enter_trace(message.traceparent)
    return message


# ------------------------------------------------------------------------------------------------ callers


@app.route(route="signings", methods=["POST"])
async def start_signing(req: func.HttpRequest) -> func.HttpResponse:
    telemetry.enter_trace(req.headers.get("traceparent"))
    return _respond(await signings.start(await current(), req.get_body(), req.headers))


@app.route(route="signings/{signing_id}", methods=["GET"])
async def get_signing(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await signings.get(await current(), req.route_params["signing_id"]))


@app.route(route="signings/{signing_id}/history", methods=["GET"])
async def get_signing_history(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await signings.history(await current(), req.route_params["signing_id"]))


@app.route(route="signings/{signing_id}/cancel", methods=["POST"])
async def cancel_signing(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await manage.cancel(await current(), req.route_params["signing_id"], req.get_body()))


@app.route(route="signings/{signing_id}/remind", methods=["POST"])
async def remind_signing(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await manage.remind(await current(), req.route_params["signing_id"], req.get_body()))


@app.route(route="signings/{signing_id}/extend", methods=["POST"])
async def extend_signing(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await manage.extend(await current(), req.route_params["signing_id"], req.get_body()))


@app.route(route="signings/{signing_id}/participants", methods=["POST"])
async def add_participant(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await manage.add_participant(await current(), req.route_params["signing_id"], req.get_body()))


@app.route(route="signings/{signing_id}/participants/{number}", methods=["DELETE"])
async def remove_participant(req: func.HttpRequest) -> func.HttpResponse:
    path = req.route_params
    return _respond(await manage.remove_participant(await current(), path["signing_id"], path["number"]))


@app.route(route="signings/{signing_id}/links", methods=["GET"])
async def get_signing_links(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await manage.links(await current(), req.route_params["signing_id"]))


@app.route(route="signings/{signing_id}", methods=["DELETE"])
async def delete_signing(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await manage.delete(await current(), req.route_params["signing_id"]))


@app.route(route="signings/{signing_id}/start/confirm", methods=["POST"])
async def confirm_start(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await manage.confirm_start(await current(), req.route_params["signing_id"], req.get_body()))


@app.route(route="signings/{signing_id}/start/restart", methods=["POST"])
async def restart_start(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await manage.restart_start(await current(), req.route_params["signing_id"], req.get_body()))


@app.route(route="signings/{signing_id}/replay", methods=["POST"])
async def replay_signing(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await manage.replay(await current(), req.route_params["signing_id"]))


@app.route(route="providers", methods=["GET"])
async def get_providers(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await catalogue.providers())


@app.route(route="accounts", methods=["GET"])
async def get_accounts(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await catalogue.accounts(await current()))


@app.route(route="accounts/{account}/operations/{operation_id}", methods=["POST"])
async def run_operation(req: func.HttpRequest) -> func.HttpResponse:
    path, mode = req.route_params, req.params.get("as")
    return _respond(
        await catalogue.operate(await current(), path["account"], path["operation_id"], req.get_body(), mode)
    )


@app.route(route="deadletters", methods=["GET"])
async def list_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await letters.listed(await current(), req.params))


@app.route(route="deadletters/{letter_id}", methods=["GET"])
async def get_dead_letter(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await letters.get(await current(), req.route_params["letter_id"]))


@app.route(route="deadletters/replay", methods=["POST"])
async def replay_dead_letters(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await letters.replay_some(await current(), req.get_body()))


@app.route(route="deadletters/{letter_id}/replay", methods=["POST"])
async def replay_dead_letter(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await letters.replay(await current(), req.route_params["letter_id"], req.get_body()))


@app.route(route="deadletters/{letter_id}/discard", methods=["POST"])
async def discard_dead_letter(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await letters.discard(await current(), req.route_params["letter_id"], req.get_body()))


@app.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    return _respond(await health_api.health(current))


# ---------------------------------------------------------------------------------------------- providers


@app.route(
    route="callbacks/{provider}/{account}/{*token}", methods=["POST", "GET"], auth_level=func.AuthLevel.ANONYMOUS
)
async def receive_callback(req: func.HttpRequest) -> func.HttpResponse:
    telemetry.enter_trace(req.headers.get("traceparent"))
    headers = {name.lower(): value for name, value in req.headers.items()}
    raw = RawCallback(str(req.method), headers, req.get_body(), utc_now(), dict(req.params))
    path = req.route_params
    return func.HttpResponse(
        status_code=await receive.run(await current(), path["provider"], path["account"], path.get("token", ""), raw)
    )


# ------------------------------------------------------------------------------------------------- queues


@app.queue_trigger(arg_name="msg", queue_name=Queue.STARTS.value, connection=STORAGE)
async def run_start(msg: func.QueueMessage) -> None:
    await start.run(await current(), _read(msg, RunStart))


@app.queue_trigger(arg_name="msg", queue_name=Queue.EVENTS.value, connection=STORAGE)
async def apply_event(msg: func.QueueMessage) -> None:
    await apply.run(await current(), _read(msg, ProviderEvent), redelivered=(msg.dequeue_count or 1) > 1)


@app.queue_trigger(arg_name="msg", queue_name=Queue.DOWNLOADS.value, connection=STORAGE)
async def download_documents(msg: func.QueueMessage) -> None:
    await download.run(await current(), _read(msg, DownloadDocuments))


@app.queue_trigger(arg_name="msg", queue_name=Queue.NOTIFICATIONS.value, connection=STORAGE)
async def notify_caller(msg: func.QueueMessage) -> None:
    await notify.run(await current(), _read(msg, NotifyCaller))


@app.queue_trigger(arg_name="msg", queue_name=Queue.REQUESTS.value, connection=STORAGE)
async def take_in_orders(msg: func.QueueMessage) -> None:
    await queue_intake.run(await current(), msg.id or "", msg.get_body())


# ------------------------------------------------------------------------------------------------- poison


async def _record_poison(queue: Queue, msg: func.QueueMessage) -> None:
    text, count = msg.get_body().decode("utf-8", "replace"), msg.dequeue_count or 1
    await poison.run(await current(), queue, msg.id or "", text, dequeue_count=count)


@app.queue_trigger(arg_name="msg", queue_name="signing-starts-poison", connection=STORAGE)
async def poison_start(msg: func.QueueMessage) -> None:
    await _record_poison(Queue.STARTS, msg)


@app.queue_trigger(arg_name="msg", queue_name="signing-events-poison", connection=STORAGE)
async def poison_event(msg: func.QueueMessage) -> None:
    await _record_poison(Queue.EVENTS, msg)


@app.queue_trigger(arg_name="msg", queue_name="document-downloads-poison", connection=STORAGE)
async def poison_download(msg: func.QueueMessage) -> None:
    await _record_poison(Queue.DOWNLOADS, msg)


@app.queue_trigger(arg_name="msg", queue_name="caller-notifications-poison", connection=STORAGE)
async def poison_notification(msg: func.QueueMessage) -> None:
    await _record_poison(Queue.NOTIFICATIONS, msg)


@app.queue_trigger(arg_name="msg", queue_name="signing-requests-poison", connection=STORAGE)
async def poison_orders(msg: func.QueueMessage) -> None:
    await _record_poison(Queue.REQUESTS, msg)


# ------------------------------------------------------------------------------------------------- clock


@app.timer_trigger(arg_name="timer", schedule="%ReconcileSchedule%")
async def reconcile_signings(timer: func.TimerRequest) -> None:
    await reconcile.run(await current(), budget_seconds=RECONCILE_SECONDS)


@app.timer_trigger(arg_name="timer", schedule="%HousekeepingSchedule%")
async def housekeeping(timer: func.TimerRequest) -> None:
    await housekeeping_flow.run(await current(), budget_seconds=HOUSEKEEPING_SECONDS)
