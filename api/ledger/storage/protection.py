"""The triggers by which the database itself refuses changes to history: how the migrations left them, held to what is there.

A trigger that is missing, switched off, or says something else protects nothing; a test holds what is listed to the migrations.
"""

from collections.abc import Mapping
from dataclasses import dataclass

# Finds a redaction that is about to be committed, if it may cover the payload that is deleted; which it covers follows.
COVERED = (
    "SELECT 1 FROM event AS redaction JOIN event AS target ON target.position = OLD.position"
    " WHERE redaction.type = 'redacted' AND redaction.position > (SELECT position FROM head)"
    " AND target.kind NOT IN ('redaction', 'ledger') AND "
)


@dataclass(frozen=True, slots=True)
class Protection:
    """The triggers on the log by name: as the database defines them now, and as the migrations made them."""

    found: Mapping[str, str]
    made: Mapping[str, str]

    @property
    def missing(self) -> list[str]:
        """Name those that are not as the migrations made them, in alphabetical order; none where all stand."""
        return sorted(name for name, definition in self.made.items() if self.found.get(name) != definition)

    @property
    def added(self) -> list[str]:
        """Name those that the migrations did not make: they may change or drop what is to be written."""
        return sorted(self.found.keys() - self.made.keys())
