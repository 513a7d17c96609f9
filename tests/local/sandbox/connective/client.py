"""A plain HTTP client of the simulated Connective: bodies as JSON, nothing of the product in it."""

from __future__ import annotations

import base64
from typing import Any

import httpx

from local.sandbox.connective import ConnectiveSandbox
from local.sandbox.pdf import sample_contract

JsonObject = dict[str, Any]

CONTRACT = sample_contract("Lease", ["Ada Jansen", "Bob Visser"], pages=2)
FIELD: JsonObject = {"MarkerOrFieldId": "_signer1_", "Label": "one"}
BOX: JsonObject = {"PageNumber": 1, "Width": "120", "Height": "40", "Left": "50", "Top": "60", "Label": "two"}


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def document(*fields: JsonObject, **changes: object) -> JsonObject:
    return {
        "Document": b64(CONTRACT),
        "DocumentLanguage": "nl",
        "DocumentName": "lease",
        "SigningFields": list(fields or (FIELD,)),
        **changes,
    }


def actor(**changes: object) -> JsonObject:
    return {"Type": "Signer", "OrderIndex": 1, "SigningTypes": [{"SigningType": "Manual"}], **changes}


def person(*actors: JsonObject, name: str = "Ada", **changes: object) -> JsonObject:
    email = f"{name.lower()}@example.org"
    return {
        "EmailAddress": email,
        "FirstName": name,
        "LastName": "Jansen",
        "Language": "nl",
        "Actors": list(actors),
        **changes,
    }


class Client:
    """Paths are relative to the API; `at` gives those of one package."""

    def __init__(self, sandbox: ConnectiveSandbox) -> None:
        self.root = f"{sandbox.base_url}{sandbox.options.prefix}"
        self.http = httpx.AsyncClient(auth=(sandbox.username, sandbox.password), trust_env=False)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def call(
        self, method: str, path: str, body: object = None, version: str = "v3", **query: Any
    ) -> httpx.Response:
        url = f"{self.root}/{version}{path}"
        return await self.http.request(method, url, json=body, params=query or None)

    async def create(self, **changes: object) -> str:
        body = {"Initiator": "sender@example.org", "PackageName": "Lease", **changes}
        answer = await self.call("POST", "/packages", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["PackageId"])

    async def upload(self, package_id: str, *fields: JsonObject, **changes: object) -> list[str]:
        """The ids of the document's places to sign."""
        answer = await self.call("POST", f"/packages/{package_id}/documents", document(*fields, **changes))
        assert answer.status_code == 200, answer.text
        return [one["Id"] for one in answer.json()["Locations"]]

    async def process(self, package_id: str, *people: JsonObject, version: str = "v3") -> httpx.Response:
        path = f"/packages/{package_id}/process"
        return await self.call("PUT", path, {"Stakeholders": list(people)}, version)

    async def set_status(self, package_id: str, status: str = "Pending") -> httpx.Response:
        return await self.call("PUT", f"/packages/{package_id}/status", {"Status": status})

    async def sent(self, *, signers: int = 1, **changes: object) -> str:
        """A package that waits for its first signer."""
        package_id = await self.create(**changes)
        places = await self.upload(package_id, *[FIELD, BOX][:signers])
        people = [
            person(actor(OrderIndex=order, LocationIds=[place]), name=("Ada", "Bob")[order - 1])
            for order, place in enumerate(places, start=1)
        ]
        assert (await self.process(package_id, *people)).status_code == 200
        assert (await self.set_status(package_id)).status_code == 200
        return package_id

    async def status(self, package_id: str) -> JsonObject:
        answer = await self.call("GET", f"/packages/{package_id}/status")
        assert answer.status_code == 200, answer.text
        found: JsonObject = answer.json()
        return found
