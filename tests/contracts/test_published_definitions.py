"""Every operation of every provider, over the wire, against what the vendor publishes: requests and answers, judged by
a validator that is not ours. Without the vendors' files at hand it is still shown that every operation was called."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import httpx
import pytest

from local.sandbox.dokobit import DokobitSandbox
from local.sandbox.pkisigning import Options, PkisigningSandbox
from local.sandbox.signicat import SignicatSandbox
from shared.providers.connective.operations import PUBLISHED_OPERATIONS
from shared.providers.dokobit.operations import OPERATIONS as DOKOBIT
from shared.providers.operation import Operation
from shared.providers.pkisigning.operations import V1_OPERATIONS, V2_OPERATIONS
from shared.providers.signicat.operations import OPERATIONS as SIGNICAT
from tests.contracts.published import FOLDER, Exchange, load, mistakes, operation_of, recording
from tests.providers.connective.tour import touring
from tests.providers.dokobit import samples as dokobit_samples
from tests.providers.dokobit import test_operations as dokobit_tour
from tests.providers.pkisigning import samples as pkisigning_samples
from tests.providers.pkisigning.tour import tour_v1, tour_v2
from tests.providers.signicat import test_operations as signicat_tour
from tests.providers.signicat.samples import QUICK

# Where the vendor's own definition is wrong, and how we know (spec connective 2.4, 2.14).
FAULTS_OF_THE_DEFINITION = {
    "connective": (
        # An array of answers there; a string in the instant call and in the vendor's own words.
        re.compile(r"AddDocumentToPackage: PdfErrorHandling: .* is not of type 'array'"),
        # A string there; an integer in its example and in the instant call.
        re.compile(r"SetProcessInformation: Stakeholders/\d+/Actors/\d+/OrderIndex: \d+ is not of type 'string'"),
        # The codes of legal notices hang on the user roles; in the example those are free text.
        re.compile(r"SetProcessInformation: Stakeholders/\d+/Actors/\d+/UserRoles/\d+: .* is not one of "),
    )
}


def judge(provider: str, base_path: str, exchanges: Sequence[Exchange], operations: Collection[Operation]) -> None:
    """Fails on any disagreement, and when one of `operations` was not called."""
    called = {
        operation.id
        for operation in operations
        for one in exchanges
        if one.method == operation.method and _is_at(operation.path, one.path, base_path)
    }
    assert called == {operation.id for operation in operations}
    definition = load(provider)
    if definition is None:
        assert not FOLDER.exists(), f"the definition of {provider} is missing from {FOLDER}"
        return
    excused = FAULTS_OF_THE_DEFINITION.get(provider, ())
    found = [
        text
        for one in exchanges
        for text in mistakes(definition, one, base_path)
        if not any(fault.match(text) for fault in excused)
    ]
    assert not found, "\n".join(sorted(set(found)))


def _is_at(template: str, path: str, base_path: str) -> bool:
    single: Mapping[str, object] = {"paths": {template: {"get": {}}}}
    return operation_of(single, "GET", path.removeprefix(base_path)) is not None


async def test_pkisigning_v2() -> None:
    async with (
        PkisigningSandbox.start(options=Options(docx_polls=0)) as sandbox,
        recording(sandbox.base_url) as wire,
        pkisigning_samples.provider_at(sandbox, api_url=wire.base_url, identity_url=sandbox.base_url) as provider,
    ):
        await tour_v2(provider, sandbox)
    judge("pkisigning", "", wire.exchanges, V2_OPERATIONS)


async def test_pkisigning_v1_has_no_published_definition_but_every_call_is_made() -> None:
    async with PkisigningSandbox.start() as sandbox, recording(sandbox.base_url) as wire:
        changes: dict[str, Any] = {"api": "v1", "api_url": wire.base_url, "identity_url": sandbox.base_url}
        async with pkisigning_samples.provider_at(sandbox, **changes) as provider:
            await tour_v1(provider, sandbox)
    assert [one.status for one in wire.exchanges if one.status >= 400] == []
    assert len(wire.exchanges) == len(V1_OPERATIONS) == 4


async def test_dokobit() -> None:
    async with DokobitSandbox.start() as sandbox, recording(sandbox.base_url) as wire:
        sandbox.options.validation_polls = 0
        async with dokobit_samples.provider_at(sandbox, api_url=f"{wire.base_url}/api/connector") as provider:
            await dokobit_tour.every_operation(provider, sandbox)
    judge("dokobit", "/api/connector", wire.exchanges, DOKOBIT.values())


async def test_connective() -> None:
    async with touring() as tour:
        await tour.run()
    published = {operation.id for operation in PUBLISHED_OPERATIONS}
    exchanges = [
        Exchange(one.method, one.path, one.query, one.headers, one.body, one.status, one.answer_type, one.answer)
        for one in tour.exchanges
        if one.operation_id in published
    ]
    operations = [_below(operation, "/v3") for operation in PUBLISHED_OPERATIONS]
    judge("connective", "/webportalapi/v3", exchanges, operations)


def _below(operation: Operation, prefix: str) -> Operation:
    """The operation as the definition has it, whose base path holds the prefix already."""
    return Operation(operation.id, operation.method, operation.path.removeprefix(prefix), operation.summary)


async def test_signicat() -> None:
    async with SignicatSandbox.start(options=QUICK) as sandbox, recording(sandbox.base_url) as wire:
        path = httpx.URL(sandbox.api_url).path.rstrip("/")
        async with signicat_tour.client_at(sandbox, f"{wire.base_url}{path}") as client:
            await signicat_tour.call_everything(sandbox, client)
    judge("signicat", path, wire.exchanges, SIGNICAT.values())


@pytest.mark.parametrize("body", [b"{}", b'{"name": "abc", "clearancelevel": 1}', b'{"name": 7, "clearancelevel": 1}'])
def test_the_judge_sees_what_is_wrong(body: bytes) -> None:
    definition = {
        "paths": {
            "/requests": {
                "post": {
                    "parameters": [{"in": "body", "name": "model", "schema": {"$ref": "#/definitions/Model"}}],
                    "responses": {"201": {"description": ""}},
                }
            }
        },
        "definitions": {
            "Model": {
                "type": "object",
                "required": ["name", "clearancelevel"],
                "properties": {"name": {"type": "string", "minLength": 4}, "clearancelevel": {"type": "integer"}},
            }
        },
    }
    headers = {"content-type": "application/json"}
    exchange = Exchange("POST", "/requests", {"extra": "1"}, headers, body, 200, "text/plain", b"")
    found = list(mistakes(definition, exchange, ""))
    assert any("query parameter extra" in text for text in found)
    assert any("status 200" in text for text in found)
    assert len(found) >= 3
