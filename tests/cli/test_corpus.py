"""The seed as a whole: clean in an editor's eyes, covered to the last paragraph, and as large as the README says."""

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from api.curation import corpus, coverage, lint
from api.curation.corpus import Corpus
from api.domain.records.source import published_bounds
from api.ledger.storage.database import shipped

SEED = shipped("seed")
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def seeded() -> Corpus:
    return corpus.read(sorted(SEED.glob("*.ndjson")), lambda *_: None)


def test_an_editor_finds_nothing_wanting(seeded: Corpus) -> None:
    assert list(map(str, lint.lint(seeded))) == []


def test_the_coverage_shown_is_that_of_the_seed(seeded: Corpus) -> None:
    shown = (SEED / "COVERAGE.md").read_text(encoding="utf-8")
    assert coverage.render(seeded, coverage.read(SEED)) == shown


def test_the_readme_counts_what_the_seed_holds(seeded: Corpus) -> None:
    read = [source for source in seeded.sources.values() if source.shown["captures"]]
    states = Counter(found.state for found in seeded.agreements.values())
    counts = {
        "claims": len(seeded.claims),
        "questions": len(seeded.questions),
        "documents": len(read),
        "languages": len({source.shown["language"].split("-")[0] for source in read}),
        "three or more independent origins": sum(len(found.origins) >= 3 for found in seeded.agreements.values()),
        "disputed": states["disputed"],
    }
    for what, count in counts.items():
        stated = rf"\b{count:,} (?:questions )?(?:have |are )?{what}\b"
        assert re.search(stated, " ".join(README.split())), f"{count} {what}"


def test_sources_are_recorded_in_the_order_of_publication(seeded: Corpus) -> None:
    """So that the feed replays the affair; what a source leads on to comes after it in any case."""
    bounds = [published_bounds(source.shown) for source in seeded.sources.values() if source.shown["captures"]]
    days = [each.latest for each in bounds if each is not None and each.latest is not None]
    out_of_order = sum(later < earlier for earlier, later in pairwise(days))
    assert out_of_order < len(days) / 10
