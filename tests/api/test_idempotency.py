from __future__ import annotations

import pytest

from shared.api.idempotency import platform_action

# What a built-in HTTP action sends, as its run history shows it.
HEADERS = {
    "user-agent": "azure-logic-apps/1.0 (workflow 80244732be3648f59d2084fd979cdd56; version 08586611142904036539)",
    "x-ms-workflow-id": "80244732be3648f59d2084fd979cdd56",
    "x-ms-workflow-run-id": "08586611142736787787412824395CU21",
    "x-ms-workflow-run-tracking-id": "b4cd2e77-f949-4d8c-8753-791407aebde8",
    "x-ms-workflow-operation-name": "Start_signing",
    "x-ms-tracking-id": "ad484925-4148-4dd0-9488-07aed418b256",
    "x-ms-correlation-id": "ad484925-4148-4dd0-9488-07aed418b256",
    "x-ms-client-request-id": "ad484925-4148-4dd0-9488-07aed418b256",
    "x-ms-client-tracking-id": "08586611142736787787412824395CU21",
    "x-ms-action-tracking-id": "ad27f634-6523-492f-924e-9a75e28619c8",
}


def test_a_retry_of_the_platform_is_the_same_action() -> None:
    attempt = dict.fromkeys(("x-ms-tracking-id", "x-ms-correlation-id", "x-ms-client-request-id"), "another")
    assert platform_action(HEADERS) is not None
    assert platform_action(HEADERS | attempt) == platform_action(HEADERS)


@pytest.mark.parametrize("name", ["x-ms-workflow-id", "x-ms-workflow-run-id", "x-ms-action-tracking-id"])
def test_another_workflow_run_or_action_is_another_one(name: str) -> None:
    assert platform_action(HEADERS | {name: "another"}) != platform_action(HEADERS)


def test_without_a_tracking_id_the_name_of_the_action_counts() -> None:
    without = {name: value for name, value in HEADERS.items() if name != "x-ms-action-tracking-id"}
    renamed = without | {"x-ms-workflow-operation-name": "Start_another"}
    assert platform_action(without) is not None
    assert platform_action(without) != platform_action(renamed)


@pytest.mark.parametrize(
    "missing", [("x-ms-workflow-run-id",), ("x-ms-action-tracking-id", "x-ms-workflow-operation-name")]
)
def test_too_few_headers_tell_nothing(missing: tuple[str, ...]) -> None:
    assert platform_action({name: value for name, value in HEADERS.items() if name not in missing}) is None
    assert platform_action({}) is None
