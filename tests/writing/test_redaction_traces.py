"""After a redaction the words are nowhere: in no answer of the API, no file of the database, and no statistics of its own."""

import re
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from litestar.routes import HTTPRoute

from api.ledger.storage.access import Access, lock_head
from api.ledger.storage.upkeep import Traces, Upkeep
from api.ledger.writing import redacting
from tests.support.builders import a_claim, a_question, a_source, an_entity, link, revise
from tests.support.served import Served, refused

WHY = {"basis": "court-order", "reason": "Order 12/3"}


def _word() -> str:
    """A word that nothing else in the world holds, nor any word beside it a part of."""
    return f"zq{secrets.token_hex(12)}zq"


def _long(word: str) -> str:
    """Put a word into a text that fills pages of its own, and that PostgreSQL cannot compress: there a word is found."""
    return f"{word} {secrets.token_urlsafe(7000)} {word}"


def _records(prefix: str) -> tuple[dict[str, str], list[dict[str, Any]], list[str]]:
    """Give four records by kind, the operations that make them, and every distinctive word that is in them."""
    words: list[str] = []

    def word() -> str:
        words.append(_word())
        return words[-1]

    ids = {kind: f"{prefix}-{kind}" for kind in ("entity", "source", "question", "claim")}
    url = f"https://example.org/{word()}"
    capture = {
        "sha256": "5f" * 32,
        "bytes": 1,
        "captured_at": "2021-01-11T08:00:00Z",
        "completeness": "full",
        "note": word(),
    }
    operations = [
        an_entity(ids["entity"], name=f"Mr {word()}", names={"fr": word()}, note=f"He is {word()}.", same_as=[url]),
        a_source(ids["source"], title=word(), authors=[word(), word()], url=f"https://example.org/{word()}",
                 rights=word(), note=_long(word()), captures=[capture], language="en", publisher=ids["entity"]),
        a_question(ids["question"], about=ids["entity"], text=f"When was {word()}?", note=word(), answer_type="text"),
        a_claim(ids["claim"], source=ids["source"], question=ids["question"], statement=f"It was {word()}, é.",
                answer={"type": "text", "text": word()}, note=_long(word()), speaker=ids["entity"]),
    ]  # fmt: skip
    for operation in operations:
        operation["reason"] = f"Since {word()}"
    changes = {"entity": {"note": word()}, "source": {"title": word()}, "question": {"text": word()}}
    operations += [revise(kind, ids[kind], reason=word(), **changed) for kind, changed in changes.items()]
    operations.append(revise("claim", ids["claim"], note=word()))
    operations.append(link(ids["claim"], "repeats", "said", reason=word()))
    return ids, operations, words


def _files(served: Served) -> Iterator[bytes]:
    """Give the bytes of the database's own files: SQLite's with the write-ahead log, PostgreSQL's `base/`."""
    if served.settings.is_sqlite:
        path = served.settings.sqlite_path
        yield from (each.read_bytes() for each in path.parent.glob(path.name + "*") if each.is_file())
        return
    access = served.database.connect()
    access.run("CHECKPOINT")
    [(folder,)] = access.rows("SHOW data_directory")
    access.close()
    for path in Path(folder, "base").rglob("*"):
        if path.is_file():
            yield path.read_bytes()


def _in_files(served: Served, words: Iterable[str]) -> set[str]:
    wanted = {word.encode(): word for word in words}
    pattern = re.compile(b"|".join(map(re.escape, wanted)))
    return {wanted[found[0]] for blob in _files(served) for found in pattern.finditer(blob)}


def _in_answers(served: Served, words: Iterable[str], paths: Iterable[str]) -> set[str]:
    said = "\n".join(served.get(path).text for path in paths)
    return {word for word in words if word in said}


def _every_get(served: Served, ids: dict[str, str], head: int) -> list[str]:
    """Give an address for every read that the service has, of these records and of everything."""
    plural = {"entities": "entity", "sources": "source", "questions": "question", "claims": "claim"}
    redactions = served.get("/v1/redactions").json()["items"]
    found = ["/v1/diff?from=0&limit=500", f"/v1/diff?from=0&to={head - 2}&limit=500", "/v1/events?limit=500&exact=true"]
    for route in served.app.routes:
        for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
            template = route.path_format
            if "GET" not in handler.http_methods or template == "/v1/diff":
                continue
            kind = plural.get(template.split("/")[2] if template.count("/") > 1 else "")
            of = ids[kind] if kind else (redactions[0]["id"] if redactions else "none")
            values = {"id": [of], "n": ["1", "2"], "position": map(str, range(1, head + 1)), "slug": ["redacted"]}
            filled = [template]
            for name in re.findall(r"\{(\w+)\}", template):
                filled = [
                    each.replace(f"{{{name}}}", value) for each in filled for value in list(values.get(name, ["1"]))
                ]
            found += filled
            if kind or template in ("/v1/events", "/v1/timeline"):
                found += [f"{each}?limit=500" for each in filled if each.count("/") == 2 or each.endswith("/revisions")]
                found += [
                    f"{each}?as_of={position}" for each in filled if each.count("/") == 3 for position in range(1, head)
                ]
                found += [f"{each}/diff?from=1&to=2" for each in filled if each.count("/") == 3]
    facets = {
        "entities": "part_of",
        "sources": "authors,publisher",
        "questions": "about",
        "claims": "speaker,entity,source",
    }
    found += [f"/v1/{kind}?facets={names}" for kind, names in facets.items()]
    found += [f"/v1/{kind}?as_of={position}" for kind in plural for position in range(1, head)]
    return found


@pytest.mark.parametrize("erased", [False, True], ids=["with its id", "id and all"])
def test_nothing_of_a_redacted_record_is_left_anywhere(ground: Served, erased: bool) -> None:
    ids, operations, words = _records(_word())
    ground.append(*operations)
    if not ground.settings.is_sqlite:
        # The server's own statistics hold frequent values: there they are, and there they must go.
        ground.database.access().run("ANALYZE")
    head = ground.head()
    paths = _every_get(ground, ids, head)
    assert _in_answers(ground, words, paths) == set(words)
    assert _in_files(ground, words) == set(words)
    for kind in ("claim", "question", "source", "entity"):
        done = ground.post("/v1/redactions", {"kind": kind, "id": ids[kind], **WHY, "erase_id": erased})
        assert done.status_code == 201, done.text
    wanted = words + ([ids["entity"].removesuffix("-entity")] if erased else [])
    assert _in_files(ground, wanted) == set()
    assert _in_answers(ground, wanted, _every_get(ground, ids, ground.head())) == set()
    for word in words:
        for kind in ("entities", "sources", "questions", "claims"):
            for position in (head, ground.head()):
                assert ground.get(f"/v1/{kind}?q={word}&as_of={position}").json()["items"] == []


@pytest.mark.parametrize("served", ["postgresql"], indirect=True, scope="module")
def test_nothing_is_left_in_pages_and_statistics_of_postgresqls_own(ground: Served) -> None:
    """Long texts stand in a table of their own, words in pages that wait and in those that are merged, values in statistics."""
    access, words = ground.database.access(), [_word() for _ in range(3)]
    frequent, merged, waiting = words
    many = [f"many-{number}" for number in range(10)]
    ground.append(*(a_source(one, authors=[frequent], note=_long(merged)) for one in many))
    access.rows("SELECT gin_clean_pending_list('ix_search_index_tokens')")
    ground.append(*(revise("source", one, expect=1, note=_long(waiting)) for one in many))
    access.run("ANALYZE")
    stated = "SELECT count(*) > 0 FROM pg_stats WHERE most_common_vals::text LIKE ? OR most_common_elems::text LIKE ?"
    for word in words:
        assert access.rows(stated, (f"%{word}%", f"%{word}%")) == [(True,)], word
    [(toast,)] = access.rows("SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE oid = 'payload'::regclass")
    assert toast > 0
    assert _in_files(ground, words) == set(words)
    for one in many:
        body = {"kind": "source", "id": one, **WHY}
        assert ground.post("/v1/redactions", body).status_code == 201
    assert _in_files(ground, words) == set()


def test_nothing_of_a_single_redacted_revision_is_left_and_the_others_are(ground: Served) -> None:
    first, second, third, claim = (_word() for _ in range(4))
    ground.append(
        a_claim(claim, source="paper", question="q-time", note=first),
        revise("claim", claim, note=_long(second), reason=second),
        revise("claim", claim, note=third),
    )
    body = {"kind": "claim", "id": claim, "first": 2, "last": 2, **WHY}
    assert ground.post("/v1/redactions", body).status_code == 201
    assert _in_files(ground, [first, second, third]) == {first, third}
    of = {"claim": claim, "entity": "parler", "source": "paper", "question": "q-time"}
    paths = _every_get(ground, of, ground.head())
    assert _in_answers(ground, [first, second, third], paths) == {first, third}


def test_a_dry_run_writes_nothing_and_what_it_looks_for_is_kept_nowhere(ground: Served) -> None:
    word = _word()
    body = {"kind": "claim", "id": "said", **WHY, "contains": word}
    assert ground.post("/v1/redactions?dry_run=true", body).status_code == 200
    assert _in_files(ground, [word]) == set()


@contextmanager
def _holding_an_old_state(served: Served, table: str) -> Iterator[Access]:
    """Read the database as it now is, and go on doing so whatever happens."""
    access = served.database.connect()
    with access.snapshot():
        access.rows(f"SELECT count(*) FROM {table}")
        yield access
    access.close()


@pytest.mark.parametrize("table", ["head", "payload"])
def test_a_reader_of_an_old_state_is_named_and_a_repeated_request_finishes(
    ground: Served, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    for database in ("sqlite", "postgres"):
        monkeypatch.setattr(f"api.ledger.storage.{database}.upkeep._PURGE_TRIES", 1)
    word, claim, key = _word(), _word(), _word()
    ground.append(a_claim(claim, source="paper", question="q-time", note=word))
    body = {"kind": "claim", "id": claim, **WHY}
    with _holding_an_old_state(ground, table):
        answer = ground.post("/v1/redactions", body, Idempotency_Key=key)
        refused(answer, 503, "not-purged")
        assert answer.headers["retry-after"]
        # It took place all the same, and nothing shows it any more.
        refused(ground.get(f"/v1/claims/{claim}"), 410, "redacted")
        assert not redacting.is_purged(ground.database.access())
        assert _in_files(ground, [word]) == {word}
    with ground.unchanged():
        assert ground.post("/v1/redactions", body, Idempotency_Key=key).status_code == 201
    assert redacting.is_purged(ground.database.access())
    assert _in_files(ground, [word]) == set()


def test_who_writes_for_long_while_traces_are_erased_is_waited_for(
    ground: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, others = _word(), ground.database.connect()
    ground.append(a_claim(claim, source="paper", question="q-time"))
    erase, is_held = Upkeep.erase_traces, threading.Event()

    def hold() -> None:
        with others.transaction():
            lock_head(others)
            is_held.set()
            time.sleep(2.5)

    def erase_and_let_another_write(upkeep: Upkeep, tables: Sequence[str], traces: Traces) -> None:
        erase(upkeep, tables, traces)
        holding.start()
        is_held.wait()

    holding = threading.Thread(target=hold)
    monkeypatch.setattr(Upkeep, "erase_traces", erase_and_let_another_write)
    assert ground.post("/v1/redactions", {"kind": "claim", "id": claim, **WHY}).status_code == 201
    holding.join()
    others.close()
    assert redacting.is_purged(ground.database.access())
