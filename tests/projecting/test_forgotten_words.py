"""What was redacted is in no memory of the process that redacted it: not the writer's, and in no cache of what was read."""

import functools
import gc
import types
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import pytest

from api.domain import words as words_of
from api.ledger.projecting.rebuild import rebuild
from api.ledger.reading.answers import answers
from api.ledger.reading.lists import select
from api.ledger.reading.selection import Selection
from tests.support.builders import Operation, Writing, a_claim, a_question, a_source, an_entity, link, revise
from tests.support.served import Served

_OPAQUE = (type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType, types.BuiltinFunctionType)


def _caches() -> list[Any]:
    """Find what remembers results of functions of ours."""
    # Of what is frozen, as all is that was imported by then, the collector gives nothing.
    gc.unfreeze()
    wrapper = type(functools.lru_cache(_caches))
    return [each for each in gc.get_objects() if type(each) is wrapper and each.__module__.startswith("api.")]


def _within(one: Any) -> Iterable[Any]:
    """Give what an object holds. The collector knows nothing of Structs that are kept from it."""
    if isinstance(one, msgspec.Struct):
        return [getattr(one, name) for name in one.__struct_fields__]
    return gc.get_referents(one)


def _said_in(roots: Iterable[Any]) -> Iterator[bytes]:
    """Give every text and every bytes that can be reached from somewhere."""
    waiting, seen = [*roots], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, _OPAQUE):
            continue
        seen.add(id(one))
        if isinstance(one, str):
            yield one.encode("utf-8", "replace")
        elif isinstance(one, bytes | bytearray | memoryview):
            yield bytes(one)
        else:
            waiting += _within(one)


def _remembered(words: Iterable[str], *roots: Any) -> set[str]:
    gc.collect()
    said = b"\n".join(_said_in([*roots, *_caches(), words_of._KNOWN]))
    return {word for word in words if word.encode() in said}


def _records() -> tuple[list[Operation], dict[str, list[str]]]:
    """Records of each kind that are full of words of their own, in each of two revisions; and the words, by kind."""
    words = {kind: [f"zq{kind}{n}zq" for n in range(4)] for kind in ("entity", "source", "question", "claim")}
    entity, source, question, claim = words.values()
    made = [
        an_entity("e", name=entity[0], note=entity[1]),
        a_source("s", title=source[0], authors=[source[1]], publisher="e"),
        a_question("q", about="e", answer_type="text", text=question[0], note=question[1]),
        a_claim("c", source="s", question="q", statement=claim[0], answer={"type": "text", "text": claim[1]}),
        a_claim("d", source="s", question="q", answer={"type": "text", "text": "Because"}),
        revise("entity", "e", name=entity[2], note=entity[3]),
        revise("source", "s", title=source[2], authors=[source[3]]),
        revise("question", "q", text=question[2], note=question[3]),
        revise("claim", "c", statement=claim[2], answer={"type": "text", "text": claim[3]}),
        link("c", "contradicts", "d", reason="Not so"),
    ]
    return made, words


@pytest.mark.parametrize("is_erased", [False, True], ids=["its words", "its words and its id"])
def test_the_writer_remembers_nothing_of_what_was_redacted(writing: Writing, is_erased: bool) -> None:
    made, words = _records()
    writing.append(*made)
    access = writing.database.access()
    answers(access, "q", Selection(kind="claim"))
    # What the last revisions say it knows by heart: or there is nothing that it could forget.
    known = _remembered([each for said in words.values() for each in said], writing.ledger, writing.database)
    assert {f"zq{kind}2zq" for kind in ("entity", "source", "question")} <= known
    for kind in ("claim", "question", "source", "entity"):
        one = kind[0]
        if kind == "question" and is_erased:
            writing.redact("claim", "d")
        writing.redact(kind, one, erase_id=is_erased)
        assert _remembered(words[kind], writing.ledger, writing.database) == set(), kind
    rebuild(access)
    for kind in words:
        select(access, Selection(kind=kind))
    gone = [each for said in words.values() for each in said]
    assert _remembered(gone, writing.ledger, writing.database) == set()


def test_what_claims_say_is_forgotten_with_the_last_of_them(writing: Writing) -> None:
    """Of claims that say the same, what they say is read once, and kept for all."""
    writing.append(an_entity("e"), a_source("s"), a_question("q", about="e", answer_type="text"))
    said = {"type": "text", "text": "zqsayingzq"}
    writing.append(*(a_claim(f"c{number}", source="s", question="q", answer=said) for number in range(3)))
    for number in range(3):
        assert _remembered(["zqsayingzq"], writing.ledger) == {"zqsayingzq"}
        writing.redact("claim", f"c{number}")
        if number < 2:
            # The next to be recorded has the claims on the question read anew.
            writing.append(a_claim(f"d{number}", source="s", question="q", answer={"type": "text", "text": "Because"}))
    assert _remembered(["zqsayingzq"], writing.ledger) == set()


def test_a_service_that_answered_with_them_remembers_no_words_that_were_redacted(served: Served) -> None:
    made, words = _records()
    served.append(*made)
    addresses = [
        f"/v1/{plural}{more}"
        for plural, one in (("entities", "e"), ("sources", "s"), ("questions", "q"), ("claims", "c"))
        for more in (
            "",
            "?facets=status",
            f"/{one}",
            f"/{one}/revisions",
            f"/{one}/revisions/1",
            f"/{one}/diff?from=1&to=2",
            f"/{one}?as_of={served.head()}",
            f"?q=zq{plural}0zq",
        )
    ]
    addresses += ["/v1/questions/q/answers?include=source", "/v1/timeline", "/v1/events?limit=500", "/v1/diff?from=0"]
    for address in addresses:
        served.get(address)
    assert _remembered(["zqentity2zq"], served.app), "or it is not looked where the writer remembers"
    for kind in ("claim", "question", "source", "entity"):
        body = {"kind": kind, "id": kind[0], "basis": "error", "reason": "X", "contains": [words[kind][0]]}
        assert served.post("/v1/redactions", body).status_code == 201
        assert _remembered(words[kind], served.app) == set(), kind
    for address in addresses:
        said = served.get(address).text
        assert not [word for each in words.values() for word in each if word in said], address
