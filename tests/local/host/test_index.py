"""What may be hosted, and what is refused before anything listens."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from local.host.index import HttpTrigger, IndexingError, QueueTrigger, index_app

APP = "import azure.functions as func\napp = func.FunctionApp()\n"
ROUTE = '@app.route("{}")\ndef {}({}: func.HttpRequest) -> func.HttpResponse: ...\n'
QUEUE = '@app.queue_trigger(arg_name="m", queue_name="{}", connection="")\ndef q(m: func.QueueMessage) -> None: ...\n'
TIMER = '@app.timer_trigger(arg_name="t", schedule="{}")\ndef t(t: func.TimerRequest) -> None: ...\n'
OUTPUT = '@app.queue_output(arg_name="o", queue_name="orders", connection="")\n'


@pytest.fixture(autouse=True)
def _nothing_stays_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexing changes the import system and reads the environment, as it should in a host of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setitem(sys.modules, "function_app", ModuleType("function_app"))
    monkeypatch.delenv("AzureWebJobsStorage", raising=False)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (APP, "declares no functions"),
        ("answer = 42\n", "exactly one FunctionApp"),
        (APP + "other = func.FunctionApp()\n", "exactly one FunctionApp"),
        (APP + ROUTE.format("administrators", "a", "req"), "belongs to the host"),
        (APP + ROUTE.format("Runtime/x", "a", "req"), "belongs to the host"),
        (APP + ROUTE.format("a", "host", "req"), "not a function name"),
        (APP + ROUTE.format("a", "a", "req") + ROUTE.format("b", "A", "req"), "Two functions are called"),
        (APP + ROUTE.format("a", "a", "request"), "parameters must be"),
        (APP + ROUTE.format("a", "a", "extra, req"), "parameters must be"),
        (APP + OUTPUT + ROUTE.format("a", "a", "o, req"), "no other bindings"),
        (APP + QUEUE.format("orders"), "'AzureWebJobsStorage' does not exist"),
        (APP + TIMER.format("%NOT_SET%"), "set the app setting NOT_SET"),
        (APP + TIMER.format("00:05:00"), "time span"),
        (APP + TIMER.format("0 0 0 31 4 *"), "never comes due"),
    ],
)
def test_what_is_refused(tmp_path: Path, source: str, reason: str) -> None:
    (tmp_path / "function_app.py").write_text(source, encoding="utf-8")

    with pytest.raises(IndexingError, match=reason):
        index_app(tmp_path)


def test_a_folder_without_an_app(tmp_path: Path) -> None:
    with pytest.raises(IndexingError, match="does not exist"):
        index_app(tmp_path)


def test_what_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AzureWebJobsStorage", "connection")
    monkeypatch.setenv("QUEUE", "orders")
    monkeypatch.setenv("AzureWebJobs.off.Disabled", "1")
    source = APP + ROUTE.format("a", "a", "context, req") + ROUTE.format("b", "off", "req") + QUEUE.format("%QUEUE%-1")
    (tmp_path / "function_app.py").write_text(source, encoding="utf-8")

    functions = index_app(tmp_path)

    assert [(found.name, found.parameter, found.wants_context) for found in functions] == [
        ("a", "req", True),
        ("q", "m", False),
    ]
    assert functions[0].trigger == HttpTrigger("a", None, "function")
    assert functions[1].trigger == QueueTrigger("orders-1", "connection")
