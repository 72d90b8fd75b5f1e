"""RFC 7089, rule by rule: every MUST and SHOULD that binds a server where the record is its own TimeGate (pattern 1.1).

URI-R and URI-G are `/v1/{kind}/{id}`, mementos (URI-M) `/revisions/{n}` and `?as_of`, a TimeMap (URI-T) `/timemap`.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from httpx import Response

from tests.records.mementos import (
    BAD_DATES,
    HERE,
    LINK_FORMAT,
    LIVES,
    PLURAL,
    RFC1123_DATE,
    Subject,
    histories,
    links_of,
    public_id,
    spell,
    varies_by,
)
from tests.support.link_format import Link, of, parse
from tests.support.served import Served, refused


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<a>",
        "<a>;rel=",
        '<a>;rel="b" <c>;rel="d"',
        '<a>;rel="b",',
        '<a b>;rel="c"',
        '<a>;rel="b";rel="c"',
        'a;rel="b"',
    ],
)
def test_the_grammar_refuses_what_is_none(text: str) -> None:
    with pytest.raises((AssertionError, KeyError, IndexError)):
        parse(text)


def test_the_grammar_reads_what_rfc_7089_prints() -> None:
    links = parse(
        '<http://a.example/>;rel="original",\n <http://b.example/t>\n ; rel="self";type="x/y"\n , </c>; rel=next\n'
    )
    assert links == [
        Link("http://a.example/", ("original",)),
        Link("http://b.example/t", ("self",), {"type": "x/y"}),
        Link("/c", ("next",)),
    ]


__all__ = ["histories"]

RULES: dict[str, Callable[[Subject], None]] = {}
Rule = Callable[[Subject], None]


def rule(section: str, words: str) -> Callable[[Rule], Rule]:
    def keep(check: Rule) -> Rule:
        RULES[f"{section} {words}"] = check
        return check

    return keep


@rule("2.1.1", "Accept-Datetime MUST be an rfc1123-date in GMT, else 400")
def _(subject: Subject) -> None:
    for value in BAD_DATES:
        refused(subject.negotiate(value), 400, "bad-parameter", parameter="Accept-Datetime")
        assert subject.served.client.head(subject.path, headers={"Accept-Datetime": value}).status_code == 400


@rule("2.1.1", "Memento-Datetime MUST be an rfc1123-date and the time of the state shown")
def _(subject: Subject) -> None:
    moments = subject.moments()
    for number, response in subject.views():
        assert RFC1123_DATE.fullmatch(response.headers["memento-datetime"])
        assert response.headers["memento-datetime"] == spell(moments[number])


@rule("2.1.1", "Memento-Datetime promises a state that stays: asked again, in any way, it is the same")
def _(subject: Subject) -> None:
    for number in subject.revisions:
        first = subject.get(subject.memento(number))
        for again in (
            subject.get(subject.memento(number)),
            subject.get(f"{subject.path}?as_of={first.json()['position']}"),
        ):
            assert again.content == first.content
            for name in ("memento-datetime", "etag"):
                assert again.headers[name] == first.headers[name]


@rule("2.1.1", "Memento-Datetime MUST NOT stand on what is no memento: the record, its TimeGate's answer, its TimeMap")
def _(subject: Subject) -> None:
    answers = [subject.get(), subject.get(f"{subject.path}/timemap"), subject.get(f"{subject.path}/revisions")]
    answers += [subject.negotiate(moment) for moment in subject.questions()]
    assert not any("memento-datetime" in answer.headers for answer in answers)


@rule("2.1.2", "A TimeGate MUST say Vary: Accept-Datetime, in whatever it answers")
def _(subject: Subject) -> None:
    held = subject.get(If_None_Match=subject.get().headers["etag"])
    answers = [subject.get(), held, *map(subject.negotiate, subject.questions()), subject.negotiate("soon")]
    assert [answer.status_code for answer in answers] == [200, 304, *[302] * (len(answers) - 3), 400]
    for answer in answers:
        assert "accept-datetime" in varies_by(answer)


@rule("4.1.1", "A memento MUST NOT say Vary: Accept-Datetime; nor does a TimeMap")
def _(subject: Subject) -> None:
    answers = [response for _, response in subject.views()]
    answers += [subject.get(f"{subject.path}/timemap"), subject.get(f"{subject.path}/revisions")]
    answers.append(subject.get(subject.memento(subject.revisions[0]), If_None_Match=answers[0].headers["etag"]))
    assert not any("accept-datetime" in varies_by(answer) for answer in answers)


@rule("2.2.1", "TimeGates and mementos MUST link exactly one original")
def _(subject: Subject) -> None:
    answers = [subject.get(), *map(subject.negotiate, subject.questions()), *(view for _, view in subject.views())]
    for answer in answers:
        assert [link.target for link in of(links_of(answer), "original")] == [subject.url]


@rule("2.2.2", "The original and its mementos MUST link the TimeGate they prefer")
def _(subject: Subject) -> None:
    for answer in [subject.get(), *(view for _, view in subject.views())]:
        assert [link.target for link in of(links_of(answer), "timegate")] == [subject.url]


@rule("2.2.3", "The original, TimeGate and mementos MUST link the TimeMap, and SHOULD give its type")
def _(subject: Subject) -> None:
    answers = [subject.get(), *map(subject.negotiate, subject.questions()), *(view for _, view in subject.views())]
    for answer in answers:
        (link,) = of(links_of(answer), "timemap")
        assert link.target == f"{subject.url}/timemap"
        assert link.attributes["type"] == LINK_FORMAT
        assert subject.get(link.target).headers["content-type"] == LINK_FORMAT


@rule("2.2.4", "A link to a memento MUST carry the datetime that the memento itself gives")
def _(subject: Subject) -> None:
    answers = [subject.get(), *map(subject.negotiate, subject.questions())]
    linked = {link.target: link for answer in answers for link in of(links_of(answer), "memento")}
    assert linked
    for target, link in linked.items():
        assert RFC1123_DATE.fullmatch(link.attributes["datetime"])
        assert link.attributes["datetime"] == subject.get(target).headers["memento-datetime"]


@rule("2.2.4", "A TimeGate SHOULD link the chosen memento, the first and last, and those before and after it")
def _(subject: Subject) -> None:
    numbers = list(subject.revisions)
    for moment in subject.questions():
        answer = subject.negotiate(moment)
        place = numbers.index(subject.expected(moment))
        wanted = {
            "first": numbers[:1],
            "last": numbers[-1:],
            "prev": numbers[:place][-1:],
            "next": numbers[place + 1 :][:1],
        }
        links = links_of(answer)
        for relation, there in wanted.items():
            assert [link.target for link in of(links, relation)] == [HERE + subject.memento(n) for n in there], relation
        assert HERE + answer.headers["location"] in [link.target for link in of(links, "memento")]
        assert all("memento" in link.rel for relation in wanted for link in of(links, relation))


@rule("2.2", "A link leads where it says without help: its target is an absolute URI")
def _(subject: Subject) -> None:
    answers = [
        subject.get(),
        subject.negotiate(subject.questions()[0]),
        subject.get(subject.memento(subject.revisions[0])),
    ]
    links = [link for answer in answers for link in links_of(answer)] + parse(
        subject.get(f"{subject.path}/timemap").text
    )
    for link in links:
        assert urlsplit(link.target)[:2] == urlsplit(HERE)[:2]
        assert subject.get(link.target).status_code == 200


@rule("4.1.1", "A TimeGate MUST answer 302 with the URI of a distinct memento in Location")
def _(subject: Subject) -> None:
    for moment in subject.questions():
        answer = subject.negotiate(moment)
        assert answer.status_code == 302
        assert answer.headers["location"] == subject.memento(subject.expected(moment))
        assert answer.content == b""


@rule("4.5.6", "From the TimeGate it is one step: what Location names answers 200 and is the memento")
def _(subject: Subject) -> None:
    for moment in subject.questions():
        memento = subject.get(subject.negotiate(moment).headers["location"])
        assert memento.status_code == 200
        assert memento.json()["revision"] == subject.expected(moment)
        assert "memento-datetime" in memento.headers


@rule("4.5.3", "Before the first memento it is the first, after the last the last")
def _(subject: Subject) -> None:
    moments = subject.moments()
    first, last = min(moments), max(moments)
    for early in (moment for moment in subject.questions() if moment < moments[first]):
        assert subject.negotiate(early).headers["location"] == subject.memento(first)
    for late in ("Fri, 31 Dec 9999 23:59:59 GMT", spell(moments[last] + timedelta(days=400)), spell(moments[last])):
        assert subject.negotiate(late).headers["location"] == subject.memento(last)


@rule("4.1.1", "Without Accept-Datetime the original answers as what it is: 200, its current state, no memento")
def _(subject: Subject) -> None:
    current, last = subject.get(), subject.get(subject.memento(subject.revisions[-1]))
    assert current.status_code == 200
    assert current.json() == last.json()
    assert "content-location" not in current.headers
    assert "location" not in current.headers


@rule("4.5.5", "A TimeGate can be told by HEAD: Vary with accept-datetime, and an original link")
def _(subject: Subject) -> None:
    for headers in ({}, {"Accept-Datetime": spell(datetime.now(UTC))}):
        answer = subject.served.client.head(subject.path, headers=headers, follow_redirects=False)
        assert "accept-datetime" in varies_by(answer)
        assert of(links_of(answer), "original")
        assert answer.content == b""


@rule("4.1.1", "A memento MUST answer 200 with Memento-Datetime and an original link, to HEAD as to GET")
def _(subject: Subject) -> None:
    for number in subject.revisions:
        for answer in (subject.get(subject.memento(number)), subject.served.client.head(subject.memento(number))):
            assert answer.status_code == 200
            assert {"memento-datetime", "link"} <= set(answer.headers)
            assert answer.headers["cache-control"] == "public, max-age=3600"


@rule("4.1.1", "HEAD at the TimeGate negotiates as GET does")
def _(subject: Subject) -> None:
    for moment in subject.questions():
        got = subject.negotiate(moment)
        headed = subject.served.client.head(
            subject.path, headers={"Accept-Datetime": spell(moment)}, follow_redirects=False
        )
        assert headed.status_code == got.status_code == 302
        for name in ("location", "link", "vary", "cache-control"):
            assert headed.headers[name] == got.headers[name]


@rule("4.5.7", "A memento asked with Accept-Datetime stays what it is, whatever the value")
def _(subject: Subject) -> None:
    for number in subject.revisions:
        plain = subject.get(subject.memento(number))
        for value in (*map(spell, subject.questions()), *BAD_DATES):
            asked = subject.get(subject.memento(number), Accept_Datetime=value)
            assert (asked.status_code, asked.content) == (200, plain.content)
            assert asked.headers["memento-datetime"] == plain.headers["memento-datetime"]


@rule("4.1.1", "An as_of view is a memento that names its own address, and is not negotiated")
def _(subject: Subject) -> None:
    for number, view in subject.views():
        assert view.status_code == 200
        if "as_of" in str(view.url):
            assert view.headers["content-location"] == subject.memento(number)
            asked = subject.get(str(view.url), Accept_Datetime=spell(datetime(1994, 11, 6, tzinfo=UTC)))
            assert (asked.status_code, asked.content) == (200, view.content)
            assert view.content == subject.get(subject.memento(number)).content


@rule("4.1.1", "What a TimeGate chose for now is not kept by a cache as its answer for later")
def _(subject: Subject) -> None:
    assert subject.negotiate("Fri, 31 Dec 9999 23:59:59 GMT").headers["cache-control"] == "no-store"
    assert subject.get().headers["cache-control"] == "no-cache"


@rule("5", "A TimeMap MUST be application/link-format, by its grammar, in UTF-8")
def _(subject: Subject) -> None:
    for accept in ("*/*", LINK_FORMAT, f"text/html;q=0.3, {LINK_FORMAT};q=0.2"):
        answer = subject.get(f"{subject.path}/timemap", Accept=accept)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == LINK_FORMAT
        assert parse(answer.content.decode("utf-8"))


@rule("5", "A TimeMap MUST link its original, once; it links its TimeGate")
def _(subject: Subject) -> None:
    links = parse(subject.get(f"{subject.path}/timemap").text)
    assert [link.target for link in of(links, "original")] == [subject.url]
    assert [link.target for link in of(links, "timegate")] == [subject.url]


@rule("5", "A TimeMap's self link has its type, and from and until are the times of its first and last memento")
def _(subject: Subject) -> None:
    moments = subject.moments()
    (own,) = of(parse(subject.get(f"{subject.path}/timemap").text), "self")
    assert own.target == f"{subject.url}/timemap"
    first, last = spell(min(moments.values())), spell(max(moments.values()))
    assert own.attributes == {"type": LINK_FORMAT, "from": first, "until": last}


@rule("5", "A TimeMap MUST list every memento, each once, with the datetime it gives itself")
def _(subject: Subject) -> None:
    links = of(parse(subject.get(f"{subject.path}/timemap").text), "memento")
    assert [link.target for link in links] == [HERE + subject.memento(number) for number in subject.revisions]
    for link in links:
        assert link.attributes["datetime"] == subject.get(link.target).headers["memento-datetime"]


@rule("5", "A TimeMap says which memento is the first and which the last, and has no pages")
def _(subject: Subject) -> None:
    links = parse(subject.get(f"{subject.path}/timemap").text)
    mementos = of(links, "memento")
    assert of(links, "first") == mementos[:1]
    assert of(links, "last") == mementos[-1:]
    assert not of(links, "timemap")
    assert not of(links, "next")


@rule("5", "A TimeMap is not negotiated on datetime: it stays 200 and whole, whatever the value")
def _(subject: Subject) -> None:
    plain = subject.get(f"{subject.path}/timemap")
    for value in (*map(spell, subject.questions()), *BAD_DATES):
        asked = subject.get(f"{subject.path}/timemap", Accept_Datetime=value)
        assert (asked.status_code, asked.content) == (200, plain.content)


@rule("5", "HEAD at a TimeMap says what GET does")
def _(subject: Subject) -> None:
    got, headed = subject.get(f"{subject.path}/timemap"), subject.served.client.head(f"{subject.path}/timemap")
    assert headed.status_code == 200
    assert headed.content == b""
    for name in ("content-type", "vary", "etag", "cache-control", "content-length"):
        assert headed.headers[name] == got.headers[name]


@rule("5", "A TimeMap in JSON lists the same mementos")
def _(subject: Subject) -> None:
    links = of(parse(subject.get(f"{subject.path}/timemap").text), "memento")
    shown: dict[str, Any] = subject.get(f"{subject.path}/timemap", Accept="application/json").json()
    assert [HERE + memento["uri"] for memento in shown["mementos"]] == [link.target for link in links]


def _subjects() -> Iterator[tuple[str, str, str]]:
    """Give each rule with each life and with each kind, but not with each pair of them: no code that it is about knows kinds."""
    kinds, lives = tuple(PLURAL), [life for life in LIVES if life != "redacted"]
    for number, name in enumerate(RULES):
        for place, life in enumerate(lives):
            yield name, kinds[(number + place) % len(kinds)], life


@pytest.mark.parametrize(("name", "kind", "state"), [*_subjects()])
def test_rule(histories: Served, name: str, kind: str, state: str) -> None:
    RULES[name](Subject(histories, kind, state))


def leads_nowhere_but_to_the_redaction(answer: Response) -> bool:
    relations = {relation for link in parse(answer.headers["link"]) for relation in link.rel}
    return relations == {"describedby"} and not {"memento-datetime", "location", "etag"} & set(answer.headers)


@pytest.mark.parametrize("state", ["first-redacted", "second-redacted"])
@pytest.mark.parametrize("kind", PLURAL)
def test_what_is_redacted_is_no_memento_any_more(histories: Served, kind: str, state: str) -> None:
    """4.1.1: a TimeGate leads to mementos alone. Where the one in force is gone, it says so, and names no other."""
    subject = Subject(histories, kind, state)
    (number,) = subject.gone
    position, absences = subject.lines()[number][1], subject.absences()
    assert absences
    answers = [subject.get(subject.memento(number)), subject.get(f"{subject.path}?as_of={position}")]
    answers += [subject.negotiate(moment) for moment in absences]
    for answer in answers:
        refused(answer, 410, "redacted")
        assert leads_nowhere_but_to_the_redaction(answer)
    for answer in answers[2:]:
        assert "accept-datetime" in varies_by(answer)
    for answer in [subject.get(f"{subject.path}/timemap"), *map(subject.negotiate, subject.questions())]:
        assert f"/revisions/{number}>" not in answer.text + answer.headers.get("link", "")


@pytest.mark.parametrize("kind", PLURAL)
def test_a_redacted_record_has_neither_timegate_nor_timemap_nor_memento(histories: Served, kind: str) -> None:
    subject = Subject(histories, kind, "redacted")
    now, path = spell(datetime.now(UTC)), subject.path
    places = [path, f"{path}/timemap", f"{path}/revisions", *(f"{path}/revisions/{n}" for n in (1, 2, 3))]
    places += [f"{path}?as_of={datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"]
    for answer in [*map(subject.get, places), *(subject.get(place, Accept_Datetime=now) for place in places)]:
        refused(answer, 410, "redacted")
        assert leads_nowhere_but_to_the_redaction(answer)
    assert histories.client.head(path, headers={"Accept-Datetime": now}).status_code == 410


@pytest.mark.parametrize("kind", PLURAL)
def test_what_never_was_has_no_timegate_timemap_or_memento(histories: Served, kind: str) -> None:
    path = f"/v1/{PLURAL[kind]}/never-was"
    for where in (path, f"{path}/timemap", f"{path}/revisions/1"):
        refused(histories.get(where, Accept_Datetime=spell(datetime.now(UTC))), 404, "unknown-record")
    missing = histories.get(f"/v1/{PLURAL[kind]}/{public_id(kind, 'current')}/revisions/2")
    assert missing.status_code == 404
    assert "memento-datetime" not in missing.headers
