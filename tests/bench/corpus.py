"""The records that every contestant holds, the same for all of them and the same in every run.

Pure: sizes in, dictionaries out. How a contestant stores them is its own affair.
"""

import random
from dataclasses import asdict, dataclass, field

import msgspec

SOURCES = 200
ENTITIES = 20
CLAIMS_PER_QUESTION = 10
LONG_HISTORY = 20
PICKS = 1000
SEED = 2021
WITNESSES = 1009
# A record costs about 1 KB with these; the words only have to differ from record to record.
STATEMENT_CHARACTERS = 260
NOTE_CHARACTERS = 320
WORDS = """
account app archive article board carrier claim company contract court day developer domain engineer figure
filing host hour judge lawyer letter library million moderation month network notice number order page
platform policy post press provider question register report review rule server service statement store
suspension system term user week
""".split()


@dataclass(frozen=True, slots=True)
class Corpus:
    """Sizes, and from them every record.

    `extra` counts revisions after the first, `deep` those of the one long record.
    """

    claims: int
    extra: int
    deep: int
    questions: int = field(init=False)
    spare_questions: int = field(init=False)

    def __post_init__(self) -> None:
        """Derive what follows from the sizes."""
        object.__setattr__(self, "questions", max(1, self.claims // CLAIMS_PER_QUESTION))
        # Creates and batches answer these, so that a question keeps to about ten claims through the rounds.
        object.__setattr__(self, "spare_questions", max(1000, self.claims // 4))

    @property
    def long_claims(self) -> list[int]:
        """Claims with 20 revisions: they take half of the extra revisions."""
        count = max(1, self.extra // 2 // (LONG_HISTORY - 1))
        step = self.claims // count
        return [index * step for index in range(count)]

    @property
    def revisions(self) -> list[tuple[int, int]]:
        """(claim, revision number) of every revision after the first, in the order in which they are written."""
        long = self.long_claims
        rest = self.extra - len(long) * (LONG_HISTORY - 1)
        others = (index for index in range(self.claims) if index not in set(long))
        once = [(index, 2) for index, _ in zip(others, range(rest), strict=False)]
        return once + [(index, number) for number in range(2, LONG_HISTORY + 1) for index in long]

    @property
    def creates(self) -> list[dict[str, object]]:
        """Bodies of claims yet to be made, each on a spare question."""
        return [claim(self.claims + index, self.questions + index) for index in range(self.spare_questions)]

    def picks(self) -> list[int]:
        """Pick claims to read and to update: any 1,000, the same in every run."""
        return random.Random(SEED).sample(range(self.claims), min(PICKS, self.claims))  # noqa: S311 - not a secret

    def encode(self) -> str:
        """Sizes as text, for the command line of a peer's own process."""
        sizes = asdict(self)
        return msgspec.json.encode({name: sizes[name] for name in ("claims", "extra", "deep")}).decode()


def decode(text: str) -> Corpus:
    """Read what `encode` wrote."""
    return Corpus(**msgspec.json.decode(text, type=dict[str, int]))


def claim_id(index: int) -> str:
    """Name a claim; ids grow with time, as the minted ones do."""
    return f"claim-{index:07d}"


def source_id(index: int) -> str:
    """Name a source."""
    return f"source-{index % SOURCES:04d}"


def question_id(index: int) -> str:
    """Name a question; those from `Corpus.questions` on are spare."""
    return f"question-{index:06d}"


def entity_id(index: int) -> str:
    """Name an entity."""
    return f"entity-{index % ENTITIES:03d}"


def entity(index: int) -> dict[str, object]:
    """Make an entity."""
    return {"id": entity_id(index), "type": "company", "name": f"Company {index}", "note": prose(index, 100)}


def source(index: int) -> dict[str, object]:
    """Make a source."""
    return {
        "id": source_id(index),
        "type": "article",
        "title": prose(index, 80),
        "publisher": entity_id(index),
        "authors": ["A. Writer"],
        "language": "en",
        "url": f"https://example.org/articles/{index}",
        "published": f"2021-01-{index % 28 + 1:02d}",
        "note": prose(index + 1, 120),
    }


def question(index: int) -> dict[str, object]:
    """Make a question that quantities of users answer."""
    return {
        "id": question_id(index),
        "about": [entity_id(index)],
        "text": prose(index, 120) + "?",
        "answer_type": "quantity",
        "unit": "users",
        "varies": False,
        "note": "",
    }


def claim(index: int, question_index: int) -> dict[str, object]:
    """Make a claim without an id. Every fourth denies, so that the one filter of the lists leaves something out."""
    return {
        "source": source_id(index),
        "question": question_id(question_index),
        "statement": f"{witness(index)} said: {prose(index, STATEMENT_CHARACTERS)}"[:STATEMENT_CHARACTERS],
        "answer": {
            "type": "quantity",
            "amount": str(8_000_000 + index % 40 * 250_000),
            "unit": "users",
            "approximate": True,
        },
        "valid": None,
        "speaker": entity_id(index),
        "via": [],
        "stance": "denies" if index % 4 == 0 else "asserts",
        "locator": {"paragraph": index % 30 + 1, "sha256": f"{index:064x}"},
        "note": prose(index + 7, NOTE_CHARACTERS),
    }


def changes(index: int, number: int) -> dict[str, object]:
    """Make the change that leads to one revision of a claim."""
    return {
        "statement": prose(index * 31 + number, STATEMENT_CHARACTERS),
        "note": prose(index + number, NOTE_CHARACTERS),
    }


def witness(index: int) -> str:
    """Name somebody whom about one claim in a thousand names: a word as people look for."""
    return f"Witness{index % WITNESSES:04d}"


def prose(seed: int, characters: int) -> str:
    """Make text of about that length; the seed stands in it, so that equal texts are rare."""
    chosen = random.Random(seed).choices(WORDS, k=characters // 8)  # noqa: S311 - filler, not a secret
    return f"Number {seed}: {' '.join(chosen)}"[:characters]
