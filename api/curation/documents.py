"""The documents that sources were read from, for whoever holds copies: found by the SHA-256 of their bytes."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from api.curation.corpus import Corpus, Record
from api.curation.lint import Finding
from api.domain.text import locator, paragraphs

# So many words of a source in a row are its sentence and no longer ours.
LONGEST_RUN: Final = 8
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True)
class Document:
    """One copy: its text, and the paragraphs that locators count."""

    text: str

    @cached_property
    def paragraphs(self) -> list[str]:
        return paragraphs(self.text)

    @cached_property
    def runs(self) -> frozenset[tuple[str, ...]]:
        """Every run of LONGEST_RUN words, in lower case."""
        return frozenset(_runs(self.text))


def find(folder: Path) -> dict[str, Document]:
    """Read every text file below a folder, by the SHA-256 of its bytes in hex."""
    found = {}
    for path in sorted(folder.rglob("*.txt")):
        raw = path.read_bytes()
        found[hashlib.sha256(raw).hexdigest()] = Document(raw.decode("utf-8"))
    return found


def check(corpus: Corpus, held: dict[str, Document]) -> Iterator[Finding]:
    """Hold claims to the documents that are there: locators lead where they say, and no sentence is the source's."""
    for claim in corpus.claims.values():
        document = document_of(corpus, corpus.sources[claim.shown["source"]], held)
        if document is not None:
            yield from _misplaced(claim, document)
            yield from _copied(claim, document)


def document_of(corpus: Corpus, source: Record, held: dict[str, Document]) -> Document | None:
    """Give the copy that a source, or the whole that it is part of, was read from."""
    whole = corpus.sources.get(source.shown["part_of"] or "", source)
    captures = [*source.shown["captures"], *whole.shown["captures"]]
    return next((held[each["sha256"]] for each in captures if each["sha256"] in held), None)


def _misplaced(claim: Record, document: Document) -> Iterator[Finding]:
    stated = claim.shown["locator"]
    if stated is None:
        return
    number = stated["paragraph"]
    if number > len(document.paragraphs) or locator(document.paragraphs[number - 1]) != stated["sha256"]:
        yield Finding(
            claim.place, claim.id, "placed", f"paragraph {number} of the document is not the one that is meant"
        )


def _copied(claim: Record, document: Document) -> Iterator[Finding]:
    if any(run in document.runs for run in _runs(claim.shown["statement"])):
        sentence = f"the statement has {LONGEST_RUN} words in a row from the source; say it in other words"
        yield Finding(claim.place, claim.id, "own-words", sentence)


def _runs(text: str) -> Iterator[tuple[str, ...]]:
    words = [word.lower() for word in _WORD.findall(text)]
    return zip(*(words[start:] for start in range(LONGEST_RUN)), strict=False)
