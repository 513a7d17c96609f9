from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from local.sandbox.pki import SandboxPki
from shared.domain.errors import ConfigurationError
from shared.settings import DEFAULT_NOTIFY_HOSTS, read

KEY = base64.b64encode(b"k" * 32).decode()
ANCHORS = base64.b64encode(SandboxPki.create("http://127.0.0.1:1").trust_bundle_pem()).decode()
COMPLETE = {
    "CountersignStorage": "UseDevelopmentStorage=true",
    "Countersign__PublicUrl": "https://sign.example.org",
    "Countersign__CallbackKeys": KEY,
    "Accounts__main__Provider": "PKIsigning",
    "Accounts__main__ClientId": "id",
    "Accounts__main__ClientSecret": "a-secret-value",
    "Accounts__main__RefreshToken": "another-secret-value",
    "Accounts__main__TrustAnchors": ANCHORS,
}


def problems(environment: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as failure:
        read(environment)
    return failure.value.problems


def test_a_complete_environment_is_read() -> None:
    settings = read(COMPLETE | {"PATH": "/bin", "Other__Thing": "is none of our business"})
    assert settings.public_url == "https://sign.example.org"
    assert settings.callback_keys == (b"k" * 32,)
    assert settings.notifier.allowed_hosts == DEFAULT_NOTIFY_HOSTS
    assert list(settings.accounts) == ["main"]
    assert settings.accounts["main"].provider == "pkisigning"


def test_names_are_read_in_any_case_and_with_or_without_underscores() -> None:
    renamed = {name: value for name, value in COMPLETE.items() if "ClientId" not in name}
    assert read(renamed | {"ACCOUNTS__MAIN__CLIENT_ID": "id"}).accounts["main"].config.model_dump()["client_id"] == "id"


def test_reply_queues_are_names_and_patterns() -> None:
    assert read(COMPLETE).reply_queues == ("signing-replies",)
    assert read(COMPLETE | {"Requests__ReplyQueues": "erp-*, crm"}).reply_queues == ("erp-*", "crm")


def test_all_problems_are_reported_together() -> None:
    found = problems({})
    assert len(found) == 4
    assert any("CountersignStorage" in text for text in found)
    assert any("PublicUrl" in text for text in found)
    assert any("CallbackKeys" in text for text in found)
    assert any("account" in text for text in found)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Countersign__PublicUrl": "http://sign.example.org"}, "must be https"),
        ({"Countersign__PublicUrl": "https://sign.example.org/api"}, "bare address"),
        ({"Countersign__CallbackKeys": "c2hvcnQ="}, "32 bytes"),
        ({"Countersign__CallbackKeys": "???"}, "32 bytes"),
        ({"Countersign__PublicURLs": "x"}, "Countersign__PublicURLs is not a setting"),
        ({"Notify__UnsafeAllowLoopback": "maybe"}, "true or false"),
        ({"Requests__ReplyQueues": "erp-replies, Erp_Replies"}, "names of queues"),
        ({"Requests__ReplyQueue": "erp-replies"}, "is not a setting"),
        ({"Flow__start_inline_seconds": "soon"}, "must be a number"),
        ({"Flow__IdempotencyWindowSeconds": "604799"}, "at least 604800"),
        ({"Flow__IdempotencyWindowSeconds": "nan"}, "at least 604800"),
        ({"Flow__StartInlineSecs": "3"}, "is not a setting"),
        ({"Accounts__main__Provider": "docusign"}, "must be one of"),
        ({"Accounts__main__Colour": "red"}, "colour is not a setting of pkisigning"),
        ({"Accounts__main__Api": "v3"}, "Accounts__main__api"),
        ({"Accounts__main__RefreshToken": ""}, "refresh_token"),
        ({"Accounts__ma-in__Provider": "pkisigning"}, "must read Accounts__<account>__<setting>"),
        ({"Accounts__main__TrustAnchors": ""}, "trust_anchors"),
    ],
)
def test_each_mistake_is_named(changes: dict[str, str], expected: str) -> None:
    assert any(expected in text for text in problems(COMPLETE | changes))


def test_a_problem_never_repeats_a_value() -> None:
    found = " ".join(problems(COMPLETE | {"Accounts__main__Api": "a-secret-typed-into-the-wrong-line"}))
    assert "a-secret" not in found


def test_policy_values_are_read_by_name() -> None:
    settings = read(COMPLETE | {"Flow__NotifyRetrySeconds": "1,2,3", "Flow__reconcile_batch": "7"})
    assert settings.policy.notify_retry_seconds == (1.0, 2.0, 3.0)
    assert settings.policy.reconcile_batch == 7


@pytest.mark.parametrize(
    "storage",
    [
        {"CountersignStorage__accountName": "data"},
        {
            "CountersignStorage__blobServiceUri": "https://data.blob.core.windows.net",
            "CountersignStorage__queueServiceUri": "https://data.queue.core.windows.net",
            "CountersignStorage__tableServiceUri": "https://data.table.core.windows.net",
            "CountersignStorage__credential": "managedidentity",
            "CountersignStorage__clientId": "00000000-0000-0000-0000-000000000000",
        },
    ],
)
def test_storage_by_identity(storage: dict[str, str]) -> None:
    without = {name: value for name, value in COMPLETE.items() if name != "CountersignStorage"}
    assert read(without | storage).storage.connection_string is None


def test_the_sample_is_complete_and_every_name_in_it_is_a_setting() -> None:
    sample = json.loads((Path(__file__).parents[1] / "local.settings.sample.json").read_text())["Values"]
    values = {name: value for name, value in sample.items() if value}
    filled = values | {"Countersign__CallbackKeys": KEY, "Accounts__main__TrustAnchors": ANCHORS}
    assert read(filled).accounts["main"].provider == "pkisigning"
