"""Requests of our own for every answer that the document promises: generated data seldom draws a stale tag or a long address.

Each is one good request to the operation, changed for the status that is wanted, and judged by schemathesis: it counts
only where that status came back and every check held.
"""

import http.client
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
import schemathesis
from schemathesis import APIOperation, BaseSchema, Case, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup

from tests.fuzz.reach import ONCE, Answer, Reach, links
from tests.fuzz.world import KINDS, World, append, body_of, fresh, redact
from tests.support.builders import an_entity, retract, revise

FAR = 999_999_999
# What makes something that can be redacted since, under a key that the same request may be sent under again.
MADE = ("record", "appendBatch", "revertBatch")


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: what stands in the path, the query, the header and the body."""

    path: Mapping[str, object] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None

    def at(self, **path: object) -> "Ask":
        return replace(self, path={**self.path, **path})

    def asking(self, **query: object) -> "Ask":
        return replace(self, query={**self.query, **query})

    def saying(self, name: str, value: str) -> "Ask":
        return replace(self, headers={**self.headers, name: value})

    def sending(self, body: object) -> "Ask":
        return replace(self, body=body)


def good(world: World) -> dict[str, Ask]:
    """Give for each operation a request that is answered as one would wish, but for its body."""
    asked = {
        "getProblemType": Ask({"slug": "stale"}), "getActor": Ask({"id": world.actor}), "getRedaction": Ask({"id": world.redaction}),
        "getEvent": Ask({"position": 2}), "proveEvent": Ask({"position": 2}),
        "proveConsistency": Ask(query={"from": 1, "to": 3}), "diffLedger": Ask(query={"from": 0}),
        "search": Ask(query={"q": "live"}),
    }  # fmt: skip
    for kind in KINDS:
        name, live = kind.title(), Ask({"id": f"live-{kind}"})
        asked |= dict.fromkeys((f"get{name}", f"list{name}Revisions", f"get{name}TimeMap"), live)
        asked |= dict.fromkeys((f"get{name}Revision", f"prove{name}Revision"), live.at(n=1))
        asked |= {f"diff{name}": live.asking(**{"from": 1, "to": 2}), f"revise{name}": live.saying("If-Match", "*")}
    asked |= dict.fromkeys(("getQuestionAnswers", "listQuestionConflicts"), Ask({"id": "live-question"}))
    asked |= {f"list{kind}Statements": Ask({"id": f"live-{kind.lower()}"}) for kind in ("Entity", "Source")}
    return asked | {"listClaimLinks": Ask({"id": "live-claim"})}


def _absent(ask: Ask) -> Ask:
    """Ask for what is not there, or not yet."""
    if "id" in ask.path:
        return ask.at(id="nobody-here")
    return ask.at(position=FAR) if "position" in ask.path else ask.asking(as_of=FAR)


def _nested(levels: int) -> object:
    return [_nested(levels - 1)] if levels else 0


# What any operation answers alike: how its good request is changed for the status.
ALIKE: Mapping[str, Callable[[Ask], Ask]] = {
    "200": lambda ask: ask if ask.body is None else ask.asking(dry_run="true"),
    "201": lambda ask: ask,
    "302": lambda ask: ask.saying("Accept-Datetime", "Mon, 11 Jan 2021 08:00:00 GMT"),
    "304": lambda ask: ask.saying("If-None-Match", "*"),
    "400": lambda ask: ask.asking(unknown="1"),
    "401": lambda ask: ask.saying("Authorization", "Bearer nobody"),
    "404": _absent,
    "406": lambda ask: ask.saying("Accept", "image/png"),
    "409": lambda ask: ask.asking(q="..."),
    "410": lambda ask: ask.at(id=str(ask.path["id"]).replace("live-", "gone-")),
    "412": lambda ask: ask.saying("If-Match", '"1"'),
    "413": lambda ask: ask.sending(_nested(40)),
    "414": lambda ask: ask.asking(unknown="x" * 17_000),
    "415": lambda ask: ask.saying("Content-Type", "text/plain"),
    "422": lambda ask: ask.sending({}),
    "428": lambda ask: replace(ask, headers={}),
    "431": lambda ask: replace(ask, headers={**ask.headers, **{f"X-{number}": "x" for number in range(70)}}),
    "501": lambda ask: ask.saying("Transfer-Encoding", "gzip, chunked"),
}


def own(name: str, status: str, ask: Ask, world: World) -> Ask | None:
    """Give the request for an answer that depends on what the operation is about; None where none does."""
    if status == "409" and name.startswith("record"):
        taken = {"source": "nobody"} if name == "recordClaim" else {"id": f"live-{name.removeprefix('record').lower()}"}
        return ask.sending({**ask.body, **taken})
    if status == "409" and name.startswith("revise"):
        return ask.sending({"action": "restore", "reason": "X"})
    if status == "409" and name.startswith("prove") and name != "proveConsistency":
        return ask.asking(size=1)
    if status == "403":
        return ask.saying("Authorization", f"Bearer {world.narrow}")
    found = {
        ("appendBatch", "404"): ask.sending([retract("claim", "nobody", expect=1)]),
        ("appendBatch", "409"): ask.sending([an_entity("live-entity")]),
        ("appendBatch", "412"): ask.sending([revise("entity", "live-entity", expect=99, note="X")]),
        ("revertBatch", "409"): ask.at(position=world.moved),
        ("redact", "409"): ask.sending({"kind": "ledger", "id": "ledger", "basis": "error", "reason": "X"}),
        ("listEvents", "404"): ask.asking(after=FAR),
        ("listEvents", "409"): ask.asking(exact="true", kind="claim"),
        ("diffLedger", "404"): ask.asking(**{"from": FAR}),
        ("diffLedger", "409"): ask.asking(**{"from": 2, "to": 1}),
        ("proveConsistency", "404"): ask.asking(to=FAR),
        ("proveConsistency", "409"): ask.asking(**{"from": 3, "to": 2}),
        ("getQuestionAnswers", "409"): ask.asking(valid_at="2021/2020"),
        ("listQuestionConflicts", "409"): ask.asking(valid_at="2021/2020"),
        ("listEntityStatements", "409"): ask.asking(valid_at="2021/2020"),
        ("listSourceStatements", "409"): ask.asking(valid_at="2021/2020"),
        ("getProblemType", "404"): ask.at(slug="no-such-problem"),
        ("getActor", "404"): ask.at(id=str(uuid.UUID(int=0, version=4))),
    }
    return found.get((name, status))


class Asking:
    """Asks a served ledger for what its document promises, and counts what came."""

    def __init__(self, world: World, checks: Mapping[str, object]) -> None:
        config = schemathesis.Config.from_dict({"checks": checks})
        self._schema = schemathesis.openapi.from_url(f"{world.address}/openapi.json", config=config)
        self._operations = {each.definition.raw["operationId"]: each for each in _operations(self._schema)}
        self._world, self._good = world, good(world)
        self.reach, self.failures = Reach(), list[str]()

    def ask_all(self) -> None:
        """Ask each operation for each status that it promises, but for those that are the server's to say."""
        for name, operation in self._operations.items():
            for status in sorted(set(operation.responses.status_codes) - ONCE):
                self._ask(name, status, self._wanted(name, status), self._world.address)

    def follow_all(self) -> None:
        """Follow each link of the document once, from an answer of the operation that has it."""
        for name, link in links(self._schema.raw_schema):
            came = self._case(link.source, self._wanted(link.source, link.status)).call(base_url=self._world.address)
            ask = Ask(body=body_of(link.target))
            for parameter, expression in link.parameters.items():
                ask = _filled(ask, parameter, _told(expression, came))
            status = self._answer(link.target, str(came.status_code), ask, self._world.address)
            if status is not None and status < "400":
                self.reach |= Reach(links=frozenset({name}))
            else:
                self.failures.append(f"{name} led to {status}")

    def ask_narrow(self, address: str) -> None:
        """Ask a server that is read-only, waits a second for a body and lets a request a minute through."""
        name = "recordEntity"
        ask = Ask(body=body_of(name))
        crowded = ask.saying("X-Forwarded-For", "192.0.2.1")
        self._ask(name, "408", ask.saying("Content-Length", "1000"), address)
        self._ask(name, "503", ask, address)
        self._case(name, crowded).call(base_url=address)
        self._ask(name, "429", crowded, address)

    def _wanted(self, name: str, status: str) -> Ask:
        ask = self._good.get(name, Ask()).sending(body_of(name))
        if name == "revertBatch":
            ask = ask.at(position=self._append(fresh("made")))
        if status == "410" and name.startswith(MADE):
            return self._repeated(name, ask)
        return own(name, status, ask, self._world) or ALIKE[status](ask)

    def _repeated(self, name: str, ask: Ask) -> Ask:
        """Make something under a key and redact it: the same request is then about what is gone."""
        made, kind = fresh("made"), name.removeprefix("record").lower() if name.startswith("record") else "entity"
        with self._world.client() as client:
            if name == "revertBatch":
                ask = ask.at(position=self._append(made))
            else:
                ask = ask.sending([an_entity(made)] if name == "appendBatch" else {**ask.body, "id": made})
            ask = ask.saying("Idempotency-Key", made)
            self._case(name, ask).call(base_url=self._world.address)
            redact(client, kind, made)
        return ask

    def _ask(self, name: str, status: str, ask: Ask, address: str) -> None:
        label, came = self._operations[name].label, self._answer(name, status, ask, address)
        if came == status:
            self.reach |= Reach(frozenset({Answer.of(label, status)}))
        elif came is not None:
            self.failures.append(f"{label}, asked for {status}, answered {came}")

    def _answer(self, name: str, status: str, ask: Ask, address: str) -> str | None:
        """Give the status that came; None, which is noted, where a check failed."""
        try:
            return _sent(self._case(name, ask), status, address)
        except FailureGroup as failure:
            self.failures.append(f"{self._operations[name].label}, asked for {status}: {failure}")
            return None

    def _append(self, name: str) -> int:
        """Append a batch of one entity, and give its position."""
        with self._world.client() as client:
            return append(client, [an_entity(name)])

    def _case(self, name: str, ask: Ask) -> Case:
        body = {} if ask.body is None else {"body": ask.body, "media_type": "application/json"}
        headers = {"Authorization": f"Bearer {self._world.key}", **ask.headers}
        return self._operations[name].Case(
            path_parameters=dict(ask.path), query=dict(ask.query), headers=headers, **body
        )


def _filled(ask: Ask, parameter: str, value: str) -> Ask:
    """Put a value where a link says; where it does not, into the path, as all ids are."""
    place, _, name = parameter.rpartition(".")
    if place == "header":
        return ask.saying(name, value)
    return ask.asking(**{name: value}) if place == "query" else ask.at(**{name: value})


def _told(expression: str, came: Response) -> str:
    """Give what an expression of a link stands for (OpenAPI 3.1, runtime expressions), as far as the document has such."""
    kind, _, pointer = expression.partition("#/")
    if kind == "$response.body":
        value = came.json()
        for step in pointer.split("/"):
            value = value[int(step) if isinstance(value, list) else step]
        return str(value)
    if expression.startswith("$response.header."):
        return came.headers[expression.removeprefix("$response.header.").lower()][0]
    return expression


def _operations(schema: BaseSchema) -> Iterator[APIOperation]:
    return (result.ok() for result in schema.get_all_operations())


def _sent(case: Case, status: str, address: str) -> str:
    """Send and judge, and give the status; where an error of the server's is asked for, it is none."""
    wanted = [not_a_server_error] if status >= "500" else []
    if {"Transfer-Encoding", "Content-Length"} & set(case.headers):
        response = _as_written(case, address)
        case.validate_response(response, excluded_checks=wanted)
        return str(response.status_code)
    return str(case.call_and_validate(base_url=address, excluded_checks=wanted).status_code)


def _as_written(case: Case, address: str) -> httpx.Response:
    """Send a head as it is and nothing after it, as no library for clients would."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.putrequest(case.method, case.formatted_path)
    for name, value in {"Content-Type": "application/json", **case.headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    asked = httpx.Request(case.method, address + case.formatted_path, headers=dict(case.headers))
    response = httpx.Response(answer.status, headers=answer.getheaders(), content=answer.read(), request=asked)
    response.elapsed = timedelta()
    connection.close()
    return response
