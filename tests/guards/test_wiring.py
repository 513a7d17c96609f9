"""What is declared in one place is used in the other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import function_app
from shared.domain.messages import POISON_SUFFIX, Queue
from shared.domain.reply_queues import DEFAULT_REPLY_QUEUES, may_be_replied_to
from shared.providers import PROVIDERS

ROOT = Path(__file__).resolve().parents[2]


def triggers() -> list[dict[str, object]]:
    function_app.app.functions_bindings = {}
    return [json.loads(function.get_raw_bindings()[0]) for function in function_app.app.get_functions()]


def test_every_queue_and_its_poison_queue_is_consumed_once() -> None:
    consumed = sorted(str(one["queueName"]) for one in triggers() if one["type"] == "queueTrigger")
    assert consumed == sorted(queue.value + suffix for queue in Queue for suffix in ("", POISON_SUFFIX))


def test_no_setting_lets_an_answer_go_onto_a_queue_that_is_consumed() -> None:
    consumed = [str(one["queueName"]) for one in triggers() if one["type"] == "queueTrigger"]
    assert not any(may_be_replied_to(name, ["*", name]) for name in consumed)
    assert all(may_be_replied_to(name, DEFAULT_REPLY_QUEUES) for name in DEFAULT_REPLY_QUEUES)


def test_every_queue_trigger_uses_the_data_account() -> None:
    assert {one["connection"] for one in triggers() if one["type"] == "queueTrigger"} == {function_app.STORAGE}


def test_only_callbacks_and_health_are_open() -> None:
    is_open = {
        str(one["route"]) for one in triggers() if one["type"] == "httpTrigger" and one["authLevel"] == "ANONYMOUS"
    }
    assert is_open == {"health", "callbacks/{provider}/{account}/{*token}"}


def test_messages_travel_as_plain_json() -> None:
    host = json.loads((ROOT / "host.json").read_text())
    assert host["extensions"]["queues"]["messageEncoding"] == "none"


def test_every_provider_has_the_same_files() -> None:
    shapes = {name: {path.name for path in (ROOT / "shared" / "providers" / name).glob("*.py")} for name in PROVIDERS}
    assert len({frozenset(files) for files in shapes.values()}) == 1, shapes


def test_nothing_in_the_project_names_the_workplace() -> None:
    """Paths of one machine must not stand in files that go to others."""
    workplace = re.compile("/" + "work/|/" + "root/")
    found = [
        str(path.relative_to(ROOT))
        for folder in ("shared", "local", "tests", "infra", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and path.suffix in {".py", ".md", ".json", ".toml", ""}
        and workplace.search(path.read_text("utf-8"))
    ]
    assert found == []
