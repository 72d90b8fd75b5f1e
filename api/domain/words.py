"""Words: how text is folded, cut into words and stemmed (Snowball), to be stored in an index and asked for.

What is stored is a token for each word: a letter that says how it came about, and the word's stem in the language of its
text. The language of what is asked is not known, so each word is asked for as every stemmer makes it. What is written
without spaces (Chinese, Japanese, Korean, Thai …) is stored by single characters and by pairs, and so found by any run of
them. A token holds no quote, operator, space or NUL: inside quotes it is one FTS5 term under `tokenize = 'ascii'`, which
takes every character beyond ASCII as part of a word, and one PostgreSQL lexeme, as an item of `array_to_tsvector`.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import Stemmer

MAX_WORD: Final = 64
_REMEMBERED: Final = 20_000


class Marks(NamedTuple):
    """The letters that tokens begin with: of a word stemmed as English, and of any other."""

    english: str
    other: str


# What a record says, and what an entity is called.
SAID, CALLED = Marks("e", "o"), Marks("n", "m")

_MARKS_CALLED: Final = dict(zip(SAID, CALLED, strict=True))
_ENGLISH: Final = "english"
# The stemmers of Snowball by the language that a tag (BCP 47) begins with.
_ALGORITHMS: Final[Mapping[str, str]] = {
    "ar": "arabic", "hy": "armenian", "eu": "basque", "ca": "catalan", "cs": "czech", "da": "danish", "nl": "dutch",
    "en": "english", "eo": "esperanto", "et": "estonian", "fi": "finnish", "fr": "french", "de": "german", "el": "greek",
    "hi": "hindi", "hu": "hungarian", "id": "indonesian", "ga": "irish", "it": "italian", "lt": "lithuanian", "ne": "nepali",
    "nb": "norwegian", "nn": "norwegian", "no": "norwegian", "fa": "persian", "pl": "polish", "pt": "portuguese",
    "ro": "romanian", "ru": "russian", "sr": "serbian", "st": "sesotho", "es": "spanish", "sv": "swedish", "ta": "tamil",
    "tr": "turkish", "yi": "yiddish",
}  # fmt: skip
_OTHERS: Final = tuple(dict.fromkeys(name for name in _ALGORITHMS.values() if name != _ENGLISH))

# Folded, and with spaces for all that is in no word.
_SPACED = bytes(ord(chr(byte).lower()) if chr(byte).isalnum() else ord(" ") for byte in range(128)) + bytes(128)
_RUNS = bytes(ord("a") if chr(byte).isalnum() else ord(" ") for byte in range(128)) + bytes(128)
_TOO_LONG = b"a" * (MAX_WORD + 1)
# Marks that are a letter's own: those of the scripts of India, of South-East Asia and beyond, and the two of the kana.
_OWN_MARKS = "".join(
    chr(code)
    for code in (
        *range(0x7A6, 0x7B1),
        *range(0x900, 0x1C00),
        0x3099,
        0x309A,
        *range(0xA800, 0xAC00),
        *range(0x11000, 0x12000),
    )
    if unicodedata.category(chr(code)).startswith("M")
)
# What of marks is left when accents are gone: the letters' own, and what й, ў and ї have above them.
_KEPT = f"{_OWN_MARKS}\u0306\u0308"
# Accents; what is invisible inside a word (soft hyphen, joiners, byte order mark); the Arabic tatweel; letters that stand for
# an apostrophe.
_MARKS = re.compile(
    "(?<![ИиУу])\u0306|(?<![Іі])\u0308|[\u0300-\u0305\u0307\u0309-\u036f\u00ad\u200c\u200d\u2060\ufeff\u0640\u02bb-\u02bf]"
)
# What else may be a mark: neither word, space, ASCII, Latin-1 sign nor general punctuation.
_SIGNS = re.compile("[^\\w\\s\x00-\xbf\u2010-\u205e]+")
_SPELLINGS = {
    "œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "ħ": "h", "\u0131": "i",
    "\u0671": "\u0627", "\u0649": "\u064a", "\u06cc": "\u064a", "\u06a9": "\u0643",
}  # fmt: skip
_LETTERS = re.compile(f"[{''.join(_SPELLINGS)}]")
_DIGITS = re.compile(r"(?![0-9])\d")
# Before they are folded: the signs of trade marks, and numbers that are no digits of a line, but those below it.
_APART = re.compile(
    "[\u2120\u2122\u00b2\u00b3\u00b9\u2070-\u2079\u2460-\u249b\u24ea-\u24ff\u2776-\u2793\u3251-\u325f\u32b1-\u32bf]"
)
# Within a word: between Cyrillic letters, and between vowels as in Hawai'i, but not where French leaves one out.
_APOSTROPHES = re.compile(
    "(?<=[\u0400-\u052f])['\u2018\u2019`](?=[\u0400-\u052f])|(?<=[aeiou])(?<!qu)['\u2018\u2019`](?=[aeiou])"
)
# Scripts that set no space between words: Thai, Lao, Myanmar, Khmer, kana, bopomofo, Han, Yi and Hangul.
_UNSPACED = (
    "\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ebd-\u0ec6\u0edc-\u0edf\u1000-\u102a\u103f\u1050-\u1055"
    "\u1100-\u11ff\u1780-\u17b3\u17d7\u17dc\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3041-\u3096\u309d-\u309f"
    "\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua48c\ua960-\ua97c"
    "\uac00-\ud7a3\ud7b0-\ud7fb\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
)
_CHARACTER = re.compile(f"[{_UNSPACED}][{_OWN_MARKS}]*")
# A run of such characters, or else a word.
_WORDS = re.compile(f"((?:[{_UNSPACED}][{_OWN_MARKS}]*)+)|(?:(?![{_UNSPACED}])[^\\W_][{_OWN_MARKS}]*){{1,{MAX_WORD}}}")


def fold(text: str) -> str:
    """Fold case and accents away: NFKD (Unicode UAX #15) without its marks, then full case folding (Unicode §3.13), and NFC.

    Marks that are a letter's own stay. Letters that Unicode does not take apart, and that people type without their stroke
    or as two, are replaced, and so are forms of Arabic letters; digits of any script become those of ASCII.
    """
    if text.isascii():
        return text.lower()
    # The iota below a Greek letter is a mark that case folding makes a letter, as capitals have it.
    plain = _MARKS.sub("", unicodedata.normalize("NFKD", text).replace("\u0345", "ι"))
    folded = _LETTERS.sub(_spell_out, _SIGNS.sub(_drop_marks, plain).casefold())
    return unicodedata.normalize("NFC", _DIGITS.sub(_spell_digit, folded))


def tokens(text: str, language: str | None = None, marks: Marks = SAID) -> str:
    """Give the tokens of a text in a language, with spaces between them; without a language it is taken as English."""
    name = _ALGORITHMS.get(language.split("-")[0].lower()) if language else _ENGLISH
    words, runs = _cut(text)
    found = map(_KNOWN[name, marks.english if name == _ENGLISH else marks.other].__getitem__, words)
    return " ".join([*found, *[marks.other + part for run in runs for part in _parts(run)]] if runs else found)


# Tokens of which a text must hold any.
Sought = tuple[str, ...]


# What must all be held to hold a word: a run of characters is one word, and held where each pair of them is.
Word = tuple[Sought, ...]


def sought(text: str) -> list[Word]:
    """Give what to look for, for each word of what is asked, once."""
    words, runs = _cut(text)
    asked: list[Word] = [(_forms(word),) for word in words]
    asked += [tuple([(SAID.other + part,) for part in _parts(run, is_asked=True)]) for run in runs]
    return list(dict.fromkeys(asked))


def as_called(word: Word) -> Word:
    """Give what to look for, for a word, in what entities are called."""
    return tuple([tuple([_MARKS_CALLED[token[0]] + token[1:] for token in each]) for each in word])


def forget_words() -> None:
    """Forget what was stemmed, in the whole process: something of it may be redacted."""
    for known in _KNOWN.values():
        known.clear()


def _forms(word: str) -> Sought:
    others = (_KNOWN[name, SAID.other].make(word) for name in (None, *_OTHERS))
    return tuple(dict.fromkeys([_KNOWN[_ENGLISH, SAID.english].make(word), *others]))


def _cut(text: str) -> tuple[list[str], Sequence[str]]:
    """Cut folded text into words of letters and digits, in order, and runs of characters that are written without spaces.

    A word beyond 64 characters becomes several.
    """
    # Text beyond ASCII may fold to plain ASCII, as most names do.
    folded = text if text.isascii() else fold(_APART.sub(_set_apart, text))
    if "'" in folded or not folded.isascii():
        folded = _APOSTROPHES.sub("", folded.lower())
    if folded.isascii():
        # Several times as fast as the pattern, and the same but for words that it would cut.
        plain = folded.encode("ascii").translate(_SPACED)
        if _TOO_LONG not in plain.translate(_RUNS):
            return plain.decode().split(), ()
        folded = folded.lower()
    found = list(_WORDS.finditer(folded))
    return [each[0] for each in found if each[1] is None], [each[1] for each in found if each[1] is not None]


def _parts(run: str, *, is_asked: bool = False) -> Iterator[str]:
    """Give the characters of a run, and each two that follow one another; where it is asked for, those alone if there are any."""
    characters = _CHARACTER.findall(run)
    if len(characters) == 1 or not is_asked:
        yield from characters
    yield from map("".join, pairwise(characters))


class _Tokens(dict[str, str]):
    """The tokens of words as a stemmer makes them, or as they are. So many are remembered, as most words come again."""

    def __init__(self, algorithm: str | None, mark: str) -> None:
        super().__init__()
        self._stemmer, self._mark = Stemmer.Stemmer(algorithm, 0) if algorithm else None, mark

    def __missing__(self, word: str) -> str:
        if len(self) >= _REMEMBERED:
            self.clear()
        token = self[word] = self.make(word)
        return token

    def make(self, word: str) -> str:
        """Make the token of a word. One of which a stemmer leaves a single letter stands for itself, as कि does and की."""
        stem = self._stemmer.stemWord(word) if self._stemmer else word
        return self._mark + (stem if len(stem) > 1 else word)


# Two threads may not use a stemmer at once. None can: each of its calls holds the interpreter from beginning to end.
_KNOWN: dict[tuple[str | None, str], _Tokens] = {
    (algorithm, mark): _Tokens(algorithm, mark)
    for english, other in (SAID, CALLED)
    for algorithm, mark in ((_ENGLISH, english), (None, other), *((name, other) for name in _OTHERS))
}


def _drop_marks(signs: re.Match[str]) -> str:
    return "".join(sign for sign in signs[0] if sign in _KEPT or not unicodedata.category(sign).startswith("M"))


def _spell_out(letter: re.Match[str]) -> str:
    return _SPELLINGS[letter[0]]


def _spell_digit(digit: re.Match[str]) -> str:
    return str(unicodedata.decimal(digit[0]))


def _set_apart(sign: re.Match[str]) -> str:
    return f" {unicodedata.digit(sign[0], sign[0])} "
