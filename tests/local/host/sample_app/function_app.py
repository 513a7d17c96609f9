"""A function app that shows the host's behaviour from the inside. Queue names come from settings."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time

import azure.functions as func

logger = logging.getLogger("sample")
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)


def _echo(req: func.HttpRequest, answered_by: str) -> func.HttpResponse:
    facts = {
        "answered_by": answered_by,
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "query": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode("latin-1"),
    }
    return func.HttpResponse(json.dumps(facts), mimetype="application/json")


@app.route("echo/{name}/{tail?}", methods=["GET", "POST"])
async def echo(req: func.HttpRequest) -> func.HttpResponse:
    return _echo(req, "echo")


@app.route("echo/special", methods=["GET"])
async def special(req: func.HttpRequest) -> func.HttpResponse:
    return _echo(req, "special")


@app.route("files/{*rest}", methods=["GET", "HEAD"])
async def files(req: func.HttpRequest) -> func.HttpResponse:
    return _echo(req, "files")


@app.route("guarded", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
async def guarded(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("open")


@app.route("for-admins", methods=["GET"], auth_level=func.AuthLevel.ADMIN)
async def for_admins(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("open")


@app.route("fails")
async def fails(req: func.HttpRequest) -> func.HttpResponse:
    raise RuntimeError("as asked")


@app.route("stops-iteration")
def stops_iteration(req: func.HttpRequest) -> func.HttpResponse:
    raise StopIteration


@app.route("nothing")
async def nothing(req: func.HttpRequest) -> func.HttpResponse:
    return None  # type: ignore[return-value]  # the mistake under test


@app.route("text")
async def text(req: func.HttpRequest) -> str:
    return "plain"


@app.route("blocking")
def blocking(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    logger.info("blocking_began")
    time.sleep(float(req.params["seconds"]))
    facts = {"function": context.function_name, "trace_parent": context.trace_context.trace_parent}
    return func.HttpResponse(json.dumps(facts), status_code=202)


released = threading.Event()


@app.route("held")
def held(req: func.HttpRequest) -> func.HttpResponse:
    """Answers once somebody has called `release`."""
    logger.info("held_began")
    return func.HttpResponse("released" if released.wait(60) else "forgotten")


@app.route("release")
async def release(req: func.HttpRequest) -> str:
    released.set()
    return "done"


@app.route("cookies")
async def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("", headers={"X-Custom": "kept"})
    response.headers.add("Set-Cookie", "a=1; Path=/")
    response.headers.add("Set-Cookie", "b=2")
    return response


@app.route("disabled")
async def disabled(req: func.HttpRequest) -> func.HttpResponse:
    return func.HttpResponse("never")


@app.queue_trigger(arg_name="message", queue_name="%ORDERS_QUEUE%", connection="AzureWebJobsStorage")
async def orders(message: func.QueueMessage) -> None:
    """Obeys its message: `{"n": 1}` succeeds, `"fail": true` raises, `"sleep": 2` takes that long."""
    order = json.loads(message.get_body())
    seen = {
        "n": order["n"],
        "dequeue_count": message.dequeue_count,
        "message_id": message.id,
        "aware": all(moment and moment.tzinfo for moment in (message.insertion_time, message.expiration_time)),
    }
    logger.info("order_seen", extra=seen)
    await asyncio.sleep(order.get("sleep", 0))
    if order.get("fail"):
        raise RuntimeError("as asked")
    logger.info("order_done", extra={"n": order["n"]})


@app.queue_trigger(arg_name="message", queue_name="%LATE_QUEUE%", connection="")
def late(message: func.QueueMessage) -> None:
    logger.info("late_seen", extra={"text": message.get_body().decode()})


@app.queue_trigger(arg_name="message", queue_name="%ANSWERING_QUEUE%", connection="Storage")
async def answering(message: func.QueueMessage) -> str:
    return "a value without a binding"


@app.queue_trigger(arg_name="message", queue_name="%DEAD_QUEUE%-poison", connection="AzureWebJobsStorage")
async def dead(message: func.QueueMessage) -> None:
    logger.info("dead_seen", extra={"dequeue_count": message.dequeue_count})
    raise RuntimeError("always")


@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
async def ticking(timer: func.TimerRequest) -> None:
    logger.info("tick", extra={"past_due": timer.past_due})


@app.timer_trigger(arg_name="timer", schedule="%RARELY%", run_on_startup=True)
def rarely(timer: func.TimerRequest) -> None:
    logger.info("rare_run")


@app.timer_trigger(arg_name="timer", schedule="%RARELY%")
async def broken(timer: func.TimerRequest) -> None:
    raise RuntimeError("always")
