"""Ask a freshly seeded ledger every example request of the document, and keep what it answers.

`api/assets/examples.json` holds, for each operation, the parameters and bodies written by hand and the answer that
`python -m openapi.capture` wrote beside them. All parameters of an operation are sent together, and each body is sent
alone: so those that would contradict each other have no example.
"""

import copy
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from litestar import Litestar
from litestar.testing import TestClient

from api.app import build, wrap
from api.cli.serve import prepare
from api.ledger.storage.database import Database
from api.ledger.writing import keys
from api.logs import configure_logging
from api.routes.edge.metrics import Metrics
from api.settings import Settings
from openapi.lint import operations as described_in
from openapi.refusals import REFUSALS, refusals

EXAMPLES = Path(__file__).parent.parent / "api" / "assets" / "examples.json"
# What each ledger mints for itself, or takes from its clock.
_MINTED = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\b[0-9a-f]{64}\b|\b2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z|\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+"
    r"|(?<=again in )[0-9]+"
)
LAST = ("getRedaction", "listRedactions")
Operation = tuple[str, str, dict[str, Any]]


def main() -> None:
    """Write the answers anew."""
    configure_logging(Settings(log_level="warning"))
    examples = json.loads(EXAMPLES.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder, seeded(Path(folder)) as client:
        captured = capture(client, examples)
        refused = keep(refusals(client, settings_of(Path(folder))))
    _write(EXAMPLES, captured)
    _write(REFUSALS, refused)
    print(f"{len(captured)} operations captured, {len(refused)} refusals")


def _write(path: Path, captured: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(captured, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def settings_of(folder: Path) -> Settings:
    """Give the settings of a ledger whose files are in this folder."""
    return Settings(database_url=f"sqlite:///{folder}/ledger.db", rate_limit="off", log_level="warning")


@contextmanager
def seeded(folder: Path) -> Iterator[TestClient[Litestar]]:
    """Give a client, with a key that may do everything, of a ledger in this folder that holds the seed alone."""
    settings = settings_of(folder)
    prepare(settings, is_empty=False)
    database = Database(settings)
    key = keys.create(database.access(), "examples", keys.SCOPES, "Examples")
    database.close()
    app = build(settings, Metrics())
    with TestClient(app) as client:
        client.app = wrap(app)
        client.headers["Authorization"] = f"Bearer {key}"
        yield client


def capture(client: TestClient[Litestar], examples: Mapping[str, Any]) -> dict[str, Any]:
    """Give the examples with the answers that this ledger gives; one that says the same as before is kept as it was.

    Reads come first: writes would show in them. Those of redactions come last, when there is one to read.
    """
    found: dict[str, Any] = copy.deepcopy(dict(examples))
    ordered = sorted(operations(client).items(), key=lambda each: (each[0] in LAST, each[1][1] != "get", each[0]))
    for operation_id, operation in ordered:
        example = found.setdefault(operation_id, {"parameters": {}, "body": {}})
        parameters = dict(example["parameters"])
        if operation_id == "getActor":
            parameters["id"] = seed_actor(client)
        if operation_id == "getRedaction":
            parameters["id"] = a_redaction(client)
        answers = [ask(client, operation, parameters, body) for body in bodies(example)]
        for refused in (answer for answer in answers if not answer.is_success):
            message = f"{operation_id}: {refused.status_code} {refused.text}"
            raise ValueError(message)
        answer = answers[0].json()
        if "answer" not in example or lasting(answer) != lasting(example["answer"]):
            example |= {"parameters": parameters, "answer": answer}
    return dict(sorted(found.items()))


def keep(refused: Mapping[str, Any]) -> dict[str, Any]:
    """Give refusals, those that say the same as before as they were."""
    before: dict[str, Any] = json.loads(REFUSALS.read_text(encoding="utf-8")) if REFUSALS.exists() else {}
    return {
        status: before[status] if status in before and lasting(before[status]) == lasting(problem) else problem
        for status, problem in refused.items()
    }


def bodies(example: Mapping[str, Any]) -> list[Any]:
    """List the bodies to send: without a body, the request is sent once."""
    return list(example.get("body", {}).values()) or [None]


def operations(client: TestClient[Litestar]) -> dict[str, Operation]:
    """Give path, method and description of each operation of the document that this application serves."""
    document = client.get("/openapi.json").json()
    found: dict[str, Operation] = {}
    for where, described in described_in(document):
        method, path = where.split(" ")
        found[described["operationId"]] = (path, method.lower(), described)
    return found


def ask(
    client: TestClient[Litestar], operation: Operation, parameters: Mapping[str, Any], body: object
) -> httpx.Response:
    """Send an example request as the document describes it."""
    path, method, described = operation
    places: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {"Accept": "application/json"}}
    for parameter in described["parameters"]:
        if parameter["name"] in parameters:
            places[parameter["in"]][parameter["name"]] = parameters[parameter["name"]]
    return client.request(
        method,
        path.format(**places["path"]),
        params=places["query"],
        headers=places["header"],
        json=body,
    )


def lasting(answer: object) -> str:
    """Give an answer without what differs from one ledger to the next: minted ids, hashes and the ledger's own times."""
    return _MINTED.sub("…", json.dumps(answer, ensure_ascii=False, sort_keys=True))


def seed_actor(client: TestClient[Litestar]) -> str:
    """Give the actor that wrote the seed: an id that each ledger mints for itself."""
    return str(client.get("/v1/events", params={"after": "1", "limit": 1}).json()["items"][0]["actor"])


def a_redaction(client: TestClient[Litestar]) -> str:
    """Record somebody who is in no document, redact that, and give the id of the redaction."""
    person = {"id": "example-person", "type": "person", "name": "A made-up person"}
    body = {
        "kind": "entity",
        "id": person["id"],
        "basis": "data-protection",
        "erase_id": True,
        "reason": "A made-up request for erasure.",
    }
    client.post("/v1/entities", json=person).raise_for_status()
    return str(client.post("/v1/redactions", json=body).raise_for_status().json()["id"])


if __name__ == "__main__":
    main()
