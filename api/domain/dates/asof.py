"""The ledger's clock: where in its history a reader stands. A position is the coordinate; a time is turned into one."""

from dataclasses import dataclass

from api.domain.dates import edtf

POSITION_PATTERN = r"^(?:0|[1-9][0-9]{0,15})" + edtf.END
AS_OF_PATTERN = (
    f"^(?:{POSITION_PATTERN[1:].removesuffix(edtf.END)}|{edtf.TIME_PATTERN[1:].removesuffix(edtf.END)}){edtf.END}"
)


@dataclass(frozen=True, slots=True)
class AsOf:
    """What a reader asked for: a position, or a time in microseconds; neither means now. Both are inclusive."""

    position: int | None = None
    moment: int | None = None


NOW = AsOf()


@dataclass(frozen=True, slots=True)
class Standpoint:
    """A fixed position. A pinned one gives the same answer for ever, redaction alone excepted.

    `redaction` is the position of the last one, 0 where there is none.
    """

    position: int
    head: int
    is_pinned: bool
    redaction: int = 0


def read_as_of(text: str) -> AsOf:
    """Read what fits AS_OF_PATTERN: digits are a position, the rest is an RFC 3339 time."""
    if text.isdigit():
        return AsOf(position=int(text))
    return AsOf(moment=edtf.parse_instant(text))
