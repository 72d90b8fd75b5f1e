"""Which claims were taken from which paragraph of which document, and why from some none were: `seed/COVERAGE.md`."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.json import Decoder

from api.curation.corpus import Corpus, Record
from api.domain.errors import Misconfigured

# Beside the files of operations; says of each document how many paragraphs it has and why some hold no claim.
READING = "reading.json"


class Reading(Struct, frozen=True, forbid_unknown_fields=True):
    """How one document was read: the number of its paragraphs, and for each without a claim the reason, by its number."""

    paragraphs: Annotated[int, Meta(ge=1)]
    unclaimed: dict[str, str] = {}


_READINGS = Decoder(dict[str, Reading])


def read(folder: Path) -> dict[str, Reading]:
    """Read how the documents of a seed were read, by the id of the source. Raises Misconfigured."""
    path = folder / READING
    try:
        return _READINGS.decode(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Misconfigured(path.name, str(error)) from error


def render(corpus: Corpus, readings: dict[str, Reading]) -> str:
    """Write the coverage as Markdown. Raises Misconfigured where a paragraph has neither a claim nor a reason."""
    parts = [
        "# Coverage of the documents",
        "",
        "What was taken from each paragraph, and why from some nothing was. Made by `ledger coverage`; do not edit.",
    ]
    for source, reading in readings.items():
        if source not in corpus.sources:
            raise Misconfigured(READING, f"{source} is no source")
        parts += ["", *_document(corpus, corpus.sources[source], reading)]
    parts += ["", *_others(corpus, set(readings))]
    return "\n".join(parts) + "\n"


def _document(corpus: Corpus, source: Record, reading: Reading) -> Iterator[str]:
    claims = _by_paragraph(corpus, source.id)
    count = sum(map(len, claims.values()))
    yield f"## {source.id}"
    yield ""
    yield f"{source.shown['title']}: {reading.paragraphs} paragraphs, {count} claims."
    yield ""
    yield "| paragraph | claims |"
    yield "|---|---|"
    for number in range(1, reading.paragraphs + 1):
        reason = reading.unclaimed.get(str(number))
        if (reason is None) is (number not in claims):
            said = "neither a claim nor a reason" if reason is None else "both claims and a reason for none"
            raise Misconfigured(READING, f"{source.id}, paragraph {number}: {said}")
        yield f"| {number} | {', '.join(claims[number]) if number in claims else f'none: {reason}'} |"


def _by_paragraph(corpus: Corpus, source: str) -> dict[int, list[str]]:
    """Gather the claims of a source, and of what is part of it, by paragraph."""
    members = {source, *(each.id for each in corpus.sources.values() if each.shown["part_of"] == source)}
    found: dict[int, list[str]] = defaultdict(list)
    for claim in corpus.claims.values():
        if claim.shown["source"] in members and claim.shown["locator"] is not None:
            found[claim.shown["locator"]["paragraph"]].append(f"`{claim.id}`")
    return found


def _others(corpus: Corpus, shown: set[str]) -> Iterator[str]:
    yield "## Other sources"
    yield ""
    yield "| source | language | read | claims |"
    yield "|---|---|---|---|"
    for source in corpus.sources.values():
        captures = source.shown["captures"]
        if captures and source.id not in shown:
            count = sum(map(len, _by_paragraph(corpus, source.id).values()))
            yield f"| {source.id} | {source.shown['language'] or ''} | {captures[-1]['completeness']} | {count} |"
