"""Records of every kind and life, and how a Memento client reaches them: what the rules of RFC 7089 are held against."""

import itertools
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.builders import Operation, a_claim, a_question, a_source, an_entity, restore, retract, revise
from tests.support.link_format import Link, parse
from tests.support.served import Served

HERE = "http://testserver.local"
LINK_FORMAT = "application/link-format"
PLURAL = {"entity": "entities", "source": "sources", "question": "questions", "claim": "claims"}
CHANGES = {"entity": "name", "source": "title", "question": "text", "claim": "statement"}
# What is done to the record in each of three seconds.
LIVES: dict[str, tuple[str, ...]] = {
    "current": ("record", "", ""),
    "revised": ("record", "revise revise", "revise"),
    "retracted": ("record revise", "", "retract"),
    "restored": ("record", "retract", "restore"),
    "first-redacted": ("record", "revise", "revise"),
    "second-redacted": ("record", "revise", "retract"),
    "redacted": ("record", "revise", "revise"),
}
# The revisions redacted afterwards, one by one or all.
REDACTED = {"first-redacted": (1,), "second-redacted": (2,), "redacted": (1, 2, 3)}
BAD_DATES = (
    "yesterday",
    "2021-01-11T08:00:00Z",
    "1610352000",
    "Monday, 11-Jan-21 08:00:00 GMT",
    "Mon Jan 11 08:00:00 2021",
    "Mon, 11 Jan 2021 08:00:00",
    "Mon, 11 Jan 2021 08:00:00 UTC",
    "Mon, 11 Jan 2021 08:00:00 +0000",
    "Mon, 11 Jan 2021 25:00:00 GMT",
    "Mon, 30 Feb 2021 08:00:00 GMT",
    "mon, 11 jan 2021 08:00:00 gmt",
    "Mon, 11 Jan 2021 08:00:00 GMT, Mon, 11 Jan 2021 08:00:00 GMT",
)
_words = itertools.count()
RFC1123_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4}"
    r" [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)


@dataclass(frozen=True)
class Subject:
    """A record with a history, and how it is reached."""

    served: Served
    kind: str
    state: str

    @property
    def gone(self) -> tuple[int, ...]:
        """The revisions that were redacted."""
        return REDACTED.get(self.state, ())

    @property
    def revisions(self) -> tuple[int, ...]:
        """The revisions that are mementos still."""
        made = sum(len(actions.split()) for actions in LIVES[self.state])
        return tuple(number for number in range(1, made + 1) if number not in self.gone)

    @property
    def path(self) -> str:
        return f"/v1/{PLURAL[self.kind]}/{public_id(self.kind, self.state)}"

    @property
    def url(self) -> str:
        return HERE + self.path

    def memento(self, number: int) -> str:
        return f"{self.path}/revisions/{number}"

    def get(self, path: str = "", **headers: str) -> httpx.Response:
        spelt = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.served.client.get(path or self.path, headers=spelt, follow_redirects=False)

    def negotiate(self, moment: datetime | str) -> httpx.Response:
        return self.get(Accept_Datetime=moment if isinstance(moment, str) else spell(moment))

    def moments(self) -> dict[int, datetime]:
        """When each memento was recorded, to the second, by the history and not by its headers."""
        return {number: moment for number, (moment, _) in self.lines().items() if number not in self.gone}

    def lines(self) -> dict[int, tuple[datetime, int]]:
        """Time, to the second, and position of every revision, redacted ones too."""
        history = self.get(f"{self.path}/revisions").json()["items"]
        return {line["revision"]: (_second(line["recorded_at"]), line["position"]) for line in history}

    def absences(self) -> list[datetime]:
        """The seconds in which a revision was in force that is redacted now."""
        lines = {number: moment for number, (moment, _) in self.lines().items()}
        last, second = max(lines.values()), timedelta(seconds=1)
        every = (min(lines.values()) + second * n for n in range(int((last - min(lines.values())) / second) + 1))
        return [each for each in every if max(n for n in lines if lines[n] <= each) in self.gone]

    def expected(self, moment: datetime) -> int:
        """Which memento a TimeGate chooses: the last not after the second asked for, else the first."""
        moments = self.moments()
        return max((number for number in moments if moments[number] <= moment), default=min(moments))

    def questions(self) -> list[datetime]:
        """Moments to ask for: at, just before and just after each memento, and far outside of them."""
        second, moments = timedelta(seconds=1), self.moments().values()
        near = {moment + shift for moment in moments for shift in (-second, 0 * second, second)}
        far = {datetime(1, 1, 1, tzinfo=UTC), datetime(1994, 11, 6, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)}
        return sorted((near | far) - set(self.absences()))

    def views(self) -> Iterator[tuple[int, httpx.Response]]:
        """Every memento, at its own address and at each `as_of` address that shows it."""
        for number in self.revisions:
            memento = self.get(self.memento(number))
            yield number, memento
            for coordinate in (memento.json()["position"], memento.json()["revised_at"]):
                yield number, self.get(f"{self.path}?as_of={coordinate}")


def _second(stamp: str) -> datetime:
    return datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC, microsecond=0)


def spell(moment: datetime) -> str:
    """Write a time by the rfc1123-date rule; `strftime` would leave the zeros of the year 1 out."""
    day = "Mon Tue Wed Thu Fri Sat Sun".split()[moment.weekday()]
    month = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year:04} {moment:%H:%M:%S} GMT"


def links_of(response: httpx.Response) -> list[Link]:
    return parse(response.headers["link"])


def varies_by(response: httpx.Response) -> set[str]:
    return {name.strip().lower() for name in response.headers.get("vary", "").split(",")}


def public_id(kind: str, state: str) -> str:
    return f"{kind[0]}-{state}"


def _operation(kind: str, state: str, action: str) -> Operation:
    name = public_id(kind, state)
    if action == "record":
        made: dict[str, Callable[..., Operation]] = {"entity": an_entity, "source": a_source}
        if kind in made:
            return made[kind](name)
        if kind == "question":
            return a_question(name, about="ground")
        return a_claim(name, source="ground", question="ground")
    if action == "revise":
        return revise(kind, name, **{CHANGES[kind]: f"Words {next(_words)}"})
    return (retract if action == "retract" else restore)(kind, name)


@pytest.fixture(scope="module")
def histories(served: Served) -> Served:
    """Records of every kind and life, written in three seconds, so that mementos differ by seconds and within one."""
    served.append(an_entity("ground"), a_source("ground"), a_question("ground", about="ground"))
    revisions: dict[str, int] = {}
    for second in range(3):
        time.sleep(1.05 - time.time() % 1)
        operations = []
        for kind in PLURAL:
            for state, life in LIVES.items():
                for action in life[second].split():
                    made = _operation(kind, state, action)
                    key = made["id"]
                    if action != "record" and not any(key == each["id"] for each in operations):
                        made["expect"] = revisions[key]
                    revisions[key] = revisions.get(key, 0) + 1
                    operations.append(made)
        served.append(*operations)
    for kind in reversed(PLURAL):
        for state, gone in REDACTED.items():
            _redact(served, kind, public_id(kind, state), gone)
    return served


def _redact(served: Served, kind: str, name: str, gone: tuple[int, ...]) -> None:
    why = {"basis": "data-protection", "reason": "An order"}
    body = {"kind": kind, "id": name, "first": gone[0], "last": gone[-1], **why}
    response = served.post("/v1/redactions", body)
    assert response.status_code == 201, response.text
