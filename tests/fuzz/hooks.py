"""What schemathesis loads beside its own: the laws, a count of what was answered and followed, and steps that lead on."""

import os
from collections.abc import Iterable, MutableMapping
from pathlib import Path

import schemathesis
from schemathesis import Case, DeserializationContext, HookContext, Response, cli
from schemathesis.core.failures import Failure
from schemathesis.engine import Status, events
from schemathesis.engine.recorder import ScenarioRecorder
from schemathesis.generation.meta import TestPhase
from schemathesis.specs.openapi.adapter.parameters import OpenApiParameter

from tests.fuzz import laws
from tests.fuzz.reach import REACHED, Answer, Reach, write
from tests.fuzz.world import body_of

laws.register()
_WAITS = set(map(str, range(1, 31)))


@schemathesis.deserializer("application/x-ndjson", "application/json-seq", "text/event-stream", "application/atom+xml")
def as_text(_context: DeserializationContext, response: Response) -> str:
    """Take what the document says is text for that."""
    return response.text


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: object) -> None:
    """Let a request end, and a step of the stateful phase be one that others can follow: without what is optional, and with a body that is taken.

    Filters that fit nothing, and bodies that name nothing, are what the other phases try.
    """
    _let_it_end(case.query)
    if case.meta is None or case.meta.phase.name != TestPhase.STATEFUL:
        return
    _drop_optional(case.query, case.operation.query)
    _drop_optional(case.headers, case.operation.headers)
    body = body_of(case.operation.definition.raw["operationId"], "walked")
    if body is not None:
        case.body = body


@schemathesis.hook
def filter_failure(_context: HookContext, failure: Failure, _case: Case, response: Response) -> bool:
    """Let 409 refuse what `format` alone forbids: it is a remark (JSON Schema 2020-12, Validation, section 7.2.1).

    What the document demands of a URL is the pattern beside it.
    """
    return not (response.status_code == 409 and "not matching the 'uri' format" in failure.message)


def _let_it_end(query: MutableMapping[str, object]) -> None:
    """Ask for nothing that goes on for ever, or waits for what nobody records: `tests/following` does."""
    if query.get("format") == "sse":
        query["format"] = "ndjson"
    if str(query.get("wait")) in _WAITS:
        query["wait"] = 1


def _drop_optional(given: MutableMapping[str, object], parameters: Iterable[OpenApiParameter]) -> None:
    for each in parameters:
        if not each.is_required:
            given.pop(each.name, None)


@cli.handler()
class Counting(cli.EventHandler):
    """Counts what was answered and validated, and writes it down when the run ends."""

    def __init__(self, *args: object, **params: object) -> None:
        super().__init__(*args, **params)
        self._reach = Reach()

    def handle_event(self, _ctx: cli.ExecutionContext, event: events.EngineEvent) -> None:
        if isinstance(event, events.ScenarioFinished):
            self._reach |= reached(event.recorder)

    def shutdown(self, _ctx: cli.ExecutionContext) -> None:
        write(Path(os.environ[REACHED]), self._reach)


def reached(recorder: ScenarioRecorder) -> Reach:
    """Give what a scenario reached: answers that passed every check, and the links that led to those below 400."""
    answers, links = set(), set()
    for case_id, results in recorder.checks.items():
        response = recorder.interactions[case_id].response
        if response is None or any(each.status != Status.SUCCESS for each in results):
            continue
        node = recorder.cases[case_id]
        answers.add(Answer.of(node.value.operation.label, str(response.status_code)))
        if node.transition is not None and node.is_transition_applied and response.status_code < 400:
            links.add(node.transition.id)
    return Reach(frozenset(answers), frozenset(links))
