"""Fill the Django peer's database: its tables, then the corpus with its versions, in bulk.

Version number n of the corpus bears the time `FIRST_TIME` + n seconds, so that a time names a state as a position does.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import count, islice

import django

django.setup()

from django.core.management import call_command  # noqa: E402 - importing models needs the set-up
from django.db.models import Model  # noqa: E402

from tests.bench import corpus  # noqa: E402
from tests.bench.corpus import Corpus  # noqa: E402
from tests.bench.peer_django import FIRST_TIME  # noqa: E402
from tests.bench.peer_django.models import Claim, Question, Source  # noqa: E402

TOGETHER = 500
Version = Claim.history.model


def fill(wanted: Corpus) -> None:
    """Make the tables and store every record of the corpus."""
    # Twice: tables of apps without migrations come first, and ours refer to those of apps with.
    call_command("migrate", verbosity=0)
    call_command("migrate", run_syncdb=True, verbosity=0)
    asked = range(wanted.questions + wanted.spare_questions)
    store(
        Source,
        (
            Source(public_id=corpus.source_id(i), title=corpus.prose(i, 80), published="2021-01")
            for i in range(corpus.SOURCES)
        ),
    )
    store(Question, (Question(public_id=corpus.question_id(i), text=corpus.prose(i, 120)) for i in asked))
    ids = dict(Source.objects.values_list("public_id", "id")) | dict(Question.objects.values_list("public_id", "id"))
    last = dict(wanted.revisions)
    store(Claim, (Claim(**state(wanted, ids, i, last.get(i, 1)), recorded_at=FIRST_TIME) for i in range(wanted.claims)))
    store(Version, versions(wanted, ids))


def store(model: type[Model], rows: Iterable[Model]) -> None:
    """Insert rows, many to a statement."""
    remaining = iter(rows)
    while batch := list(islice(remaining, TOGETHER)):
        model._default_manager.bulk_create(batch)  # noqa: SLF001 - Django's own name for it


def versions(wanted: Corpus, ids: dict[str, int]) -> Iterator[Model]:
    """Make every version of every claim, in the order of recording."""
    keys = dict(Claim.objects.values_list("public_id", "id"))
    first = ((index, 1) for index in range(wanted.claims))
    for second, (index, number) in zip(count(1), [*first, *wanted.revisions], strict=False):
        yield Version(
            id=keys[corpus.claim_id(index)],
            history_date=FIRST_TIME + timedelta(seconds=second),
            history_type="+" if number == 1 else "~",
            history_change_reason="recorded" if number == 1 else "revised",
            recorded_at=FIRST_TIME,
            **state(wanted, ids, index, number),
        )


def state(wanted: Corpus, ids: dict[str, int], index: int, number: int) -> dict[str, object]:
    """Make the fields of one version of a claim. A change replaces whole fields, so only the last one shows."""
    fields = corpus.claim(index, index % wanted.questions)
    if number > 1:
        fields |= corpus.changes(index, number)
    source, question = ids[str(fields.pop("source"))], ids[str(fields.pop("question"))]
    return {"public_id": corpus.claim_id(index), "source_id": source, "question_id": question, **fields}
