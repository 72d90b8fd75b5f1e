"""The number of the rules by which agreement is computed: never recorded, and another whenever they change."""

from typing import Final

RULES: Final = 2
