"""Fill the Django peer's database: its tables, then the corpus with its versions, in bulk."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import count

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from simple_history.utils import bulk_create_with_history  # noqa: E402

from tests.bench import corpus  # noqa: E402
from tests.bench.corpus import Corpus  # noqa: E402
from tests.bench.peer_django.models import Claim, Question, Source  # noqa: E402

TOGETHER = 500
Claims = dict[int, Claim]


def fill(wanted: Corpus) -> None:
    """Make the tables and store every record of the corpus."""
    call_command("migrate", run_syncdb=True, verbosity=0)
    Source.objects.bulk_create(
        [Source(public_id=corpus.source_id(index), title=corpus.prose(index, 80), published="2021-01") for index in range(corpus.SOURCES)]
    )
    questions = range(wanted.questions + wanted.spare_questions)
    Question.objects.bulk_create([Question(public_id=corpus.question_id(index), text=corpus.prose(index, 120)) for index in questions])
    sources = dict(Source.objects.values_list("public_id", "id"))
    asked = dict(Question.objects.values_list("public_id", "id"))
    bulk_create_with_history([claim(wanted, index, sources, asked) for index in range(wanted.claims)], Claim, batch_size=TOGETHER)
    # SQLite and PostgreSQL alike number the rows of an empty table from 1, in the order given.
    Claim.history.bulk_create(revisions(wanted), batch_size=TOGETHER)
