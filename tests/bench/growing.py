"""What much on one question is made of: for each shape, what is recorded first, the claims, and what is done to them."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, link, restore, retract, revise

_LISTED, _DEEP = 10, 32
SPARE = 10
Claim = Callable[[int, int], Operation]
Deed = Callable[[int, int], Iterable[Operation]]
Around = Callable[[int], Iterable[Operation]]


@dataclass(frozen=True)
class Shape:
    """Claims on the question `q`: the i-th of n, what else there must be for n of them, and what is done to each in turn."""

    name: str
    question: dict[str, Any]
    claim: Claim
    around: Around = lambda _: ()
    deeds: tuple[Deed, ...] = ()

    def ground(self, n: int) -> list[Operation]:
        asked = a_question("q", about="parler", **self.question)
        sources = [a_source(f"s-{i}") for i in range(_SOURCES)]
        return [an_entity("parler"), *sources, asked, *self.around(n + SPARE)]

    def operations(self, n: int) -> list[Operation]:
        """Record n claims, then do each deed to all of them, one deed after the other."""
        claims = (self.claim(i, n) for i in range(n))
        return [*claims, *chain.from_iterable(deed(i, n) for deed in self.deeds for i in range(n))]

    def more(self, n: int) -> Iterator[Operation]:
        """Record further claims, SPARE of them at most."""
        return (self.claim(i, n) for i in range(n, n + SPARE))


_SOURCES = 50
_TEXT = {"answer_type": "text"}
_COUNTED = {"answer_type": "quantity", "unit": "accounts"}


def _claim(i: int, answer: dict[str, Any], **more: Any) -> Operation:
    return a_claim(f"c-{i}", source=f"s-{i % _SOURCES}", question="q", answer=answer, **more)


def _text(i: int, _: int = 0, **more: Any) -> Operation:
    return _claim(i, {"type": "text", "text": f"Because of reason {i}"}, **more)


def _day(i: int) -> str:
    """Give a day, each later than the one before; 20,000 of them are 71 years of 280 days."""
    return f"{1940 + i // 280}-{1 + i % 280 // 28:02}-{1 + i % 28:02}"


def _spoken(i: int, _: int) -> Operation:
    return _text(i, speaker=f"e-{i}")


def _date(i: int, _: int) -> Operation:
    return _claim(i, {"type": "time", "edtf": _day(i)})


def _nested(i: int, _: int) -> Operation:
    return _claim(i, {"type": "time", "edtf": f"[{_day(i)}..2199-12-31]"})


def _timed(i: int, _: int) -> Operation:
    return _claim(i, {"type": "quantity", "amount": str(i % 7 + 1), "unit": "accounts"}, valid=_day(i))


def _overlapping(i: int, _: int) -> Operation:
    value = {"type": "quantity", "amount": "5", "unit": "accounts"}
    return _claim(i, value, valid=f"{_day(i)}/{_day(i + 400)}")


def _range(i: int, _: int) -> Operation:
    return _claim(i, {"type": "quantity", "low": str(i), "high": str(1_000_000 - i), "unit": "accounts"})


def _amount(i: int, _: int) -> Operation:
    return _claim(i, {"type": "quantity", "amount": str(i), "unit": "accounts"})


def _one_each(i: int, _: int) -> Operation:
    return _claim(i, {"type": "entity", "entity": f"e-{i}"})


def _list(i: int, n: int, *, complete: bool) -> Operation:
    named = [f"e-{(i * _LISTED + k) % n}" for k in range(_LISTED)]
    return _claim(i, {"type": "entities", "entities": named, "complete": complete})


def _of_256_kinds(kind: int) -> dict[str, Any]:
    """Give an open list, of 256 kinds and some more; all share a member."""
    return {"type": "entities", "entities": ["parler", f"e-{kind}"], "complete": False}


def _kind(i: int, _: int) -> Operation:
    return _claim(i, _of_256_kinds(i % 256), speaker=f"e-{i}")


def _be_of_another_kind(i: int, _: int) -> Iterable[Operation]:
    """One kind more than a majority is sought among, and one less again."""
    for expect, kind in ((1, 256 + i % 200), (2, i % 256)):
        yield revise("claim", f"c-{i}", expect=expect, answer=_of_256_kinds(kind))


def _entities(n: int) -> Iterable[Operation]:
    return (an_entity(f"e-{i}", name=f"Thing {i}") for i in range(n))


def _one_parent(n: int) -> Iterable[Operation]:
    return (an_entity(f"e-{i}", name=f"Thing {i}", part_of="parler") for i in range(n))


def _chains(n: int) -> Iterable[Operation]:
    return (an_entity(f"e-{i}", name=f"Thing {i}", part_of=f"e-{i - 1}" if i % (_DEEP - 1) else None) for i in range(n))


def _to_the_next(relation: str) -> Deed:
    return lambda i, n: [link(f"c-{i}", relation, f"c-{i + 1}", expect=1)] if i + 1 < n else []


def _to_one(relation: str) -> Deed:
    return lambda i, _: [link(f"c-{i}", relation, "c-0", expect=1)] if i else []


def _retract(revision: int) -> Deed:
    return lambda i, _: [retract("claim", f"c-{i}", expect=revision)]


def _restore(revision: int) -> Deed:
    return lambda i, _: [restore("claim", f"c-{i}", expect=revision)]


def _say_otherwise(i: int, _: int) -> Iterable[Operation]:
    return [revise("claim", f"c-{i}", expect=1, answer={"type": "text", "text": f"Rather for {i}"})]


_QUESTIONED = {"answer_type": "entities"}
_WHO = {"answer_type": "entity"}
SHAPES = (
    Shape("texts", _TEXT, _text),
    Shape("texts, each by a speaker of its own", _TEXT, _spoken, _entities),
    Shape("texts, each revised", _TEXT, _text, deeds=(_say_otherwise,)),
    Shape("texts, each retracted and restored", _TEXT, _spoken, _entities, (_retract(1), _restore(2))),
    Shape("dates apart", {}, _date),
    Shape("dates apart, all retracted", {}, _date, deeds=(_retract(1),)),
    Shape("times one within the other", {}, _nested),
    Shape("times one within the other, all retracted", {}, _nested, deeds=(_retract(1),)),
    Shape("quantities, each at its own time", {**_COUNTED, "varies": True}, _timed),
    Shape("quantities at overlapping times", {**_COUNTED, "varies": True}, _overlapping),
    Shape("ranges one within the other", _COUNTED, _range),
    Shape("amounts apart", _COUNTED, _amount),
    Shape("entities under one parent", _WHO, _one_each, _one_parent),
    Shape("entities down chains of 32", _WHO, _one_each, _chains),
    Shape("open lists of ten", _QUESTIONED, partial(_list, complete=False), _entities),
    Shape("complete lists of ten", _QUESTIONED, partial(_list, complete=True), _one_parent),
    Shape("texts, each corroborates the next", _TEXT, _spoken, _entities, (_to_the_next("corroborates"),)),
    Shape("texts, each corroborates the first", _TEXT, _spoken, _entities, (_to_one("corroborates"),)),
    Shape("lists of 256 kinds, one more comes and goes", _QUESTIONED, _kind, _entities, (_be_of_another_kind,)),
    Shape("texts, each repeats the next", _TEXT, _spoken, _entities, (_to_the_next("repeats"),)),
    Shape("texts, each contradicts the first", _TEXT, _text, deeds=(_to_one("contradicts"),)),
    Shape("texts, each repeats the first", _TEXT, _spoken, _entities, (_to_one("repeats"),)),
    Shape("texts, each corrects the next", _TEXT, _text, deeds=(_to_the_next("corrects"),)),
    Shape("texts, each supersedes the first", _TEXT, _text, deeds=(_to_one("supersedes"),)),
)
