"""Words are folded, cut and stemmed such that whoever asks finds them, whatever language and script they are in."""

import sqlite3
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.domain import words

STRINGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
LANGUAGES = st.sampled_from([None, "en-GB", "fr", "DE", "ru", "ar", "hi", "ja", "x-own"])


def finds(asked: str, said: str, language: str | None = None) -> bool:
    held = set(words.tokens(said, language).split())
    return all(held.intersection(each) for word in words.sought(asked) for each in word)


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("L’Œuvre d'Éric", "el eoeuvr ed eeric"),
        ("STRASSE straße", "estrass estrass"),
        ("Ærø Łódź İstanbul ısı", "eaero elodz eistanbul eisi"),
        ("e\u0301te\u0301", "eete"),
        ("15 millions, 3.5 %", "e15 emillion e3 e5"),
        ("snake_case x² H₂O ① ❷b Parler™", "esnake ecase ex e2 eh2o e1 e2 eb eparler etm"),
        ("ΌΣΟΣ όσος", "eοσοσ eοσοσ"),
        ("plat\u00adform co\u200dop", "eplatform ecoop"),
        ("Москва й ё Ї", "eмосква eй eе eї"),
        ("日本x", "ex o日 o本 o日本"),
        ("", ""),
        ("\"*'()-:^+\\&|!<>", ""),
    ],
)
def test_text_is_cut_into_folded_and_stemmed_words(given_text: str, expected: str) -> None:
    assert words.tokens(given_text) == expected


@pytest.mark.parametrize(
    ("language", "said", "asked"),
    [
        ("en", "Amazon was suspending the accounts", "suspended account"),
        (None, "The board fired him over lawsuits", "firing lawsuit"),
        ("fr", "Les réseaux sociaux suspendent les comptes", "social compte"),
        ("de", "Die gesperrten Konten", "gesperrte Konto"),
        ("ru", "Соцсеть закрыли сразу после покупки", "покупка закрыла"),
        ("es", "Las cuentas suspendidas", "cuenta suspendida"),
        ("it", "La cancellazione delle pagine", "cancellazioni pagina"),
        ("ja", "右派の新興SNSが停止", "SNS 停止"),
        ("ja", "保守系SNSパーラーとアマゾン", "パーラー"),
        ("ja", "ﾊﾟｰﾗｰ", "パーラー"),
        ("ko", "Parler가 파를러를 닫았다", "parler 파를러"),
        ("zh", "遭苹果谷歌亚马逊围剿", "亚马逊"),
        ("zh", "遭苹果谷歌亚马逊围剿", "谷"),
        ("th", "ปิดกั้นเครือข่ายสังคม", "เครือข่าย"),
        ("ar", "زاخاروفا عن حجب حسابات ترامب", "حسابات ترامب"),
        ("ar", "مُحَمَّد على كـتاب ١٢", "محمد علي کتاب 12"),
        ("fa", "حساب ۱۲", "١٢ حساب"),
        ("hi", "ट्विटर ने खाता बंद किया", "खाता ट्विटर"),
        ("ta", "கணக்கு முடக்கப்பட்டது", "கணக்கு"),
        ("he", "שָׁלוֹם", "שלום"),
        ("el", "Η εφαρμογή αφαιρέθηκε", "εφαρμογη"),
        ("uk", "п'ять пʼять", "п’ять"),
        ("haw", "Hawaiʻi", "Hawai'i"),
        (None, "Hawai’i", "hawaii"),
        (None, "Parler² and Parler™", "parler"),
        ("pt-BR", "ação", "acao"),
    ],
)
def test_a_word_is_found_in_other_forms_and_scripts(language: str | None, said: str, asked: str) -> None:
    assert finds(asked, said, language)


@pytest.mark.parametrize(
    ("language", "said", "asked"),
    [
        ("ja", "ハーラー", "パーラー"),
        ("ja", "か", "が"),
        ("hi", "कि", "की"),
        ("hi", "कल", "काल"),
        ("th", "กัน", "กิน"),
        ("th", "ที่", "ที"),
        ("ta", "கல்", "கால்"),
        ("ko", "파를라", "파를러"),
        ("zh", "谷苹果", "苹谷"),
        ("uk", "і", "ї"),
        ("ru", "и", "й"),
        ("fr", "l’Amazone", "la"),
        (None, "on", "one"),
    ],
)
def test_a_neighbour_is_not_found(language: str | None, said: str, asked: str) -> None:
    assert not finds(asked, said, language)


@given(STRINGS)
def test_folding_twice_folds_no_further(given_text: str) -> None:
    assert words.fold(words.fold(given_text)) == words.fold(given_text)


@settings(deadline=None)
@given(STRINGS, LANGUAGES)
@example("\u0345", None)
@example("ᾳ ᾼ ΑΙ ᾳ", None)
def test_every_text_is_found_by_itself_however_it_is_composed_or_cased(given_text: str, language: str | None) -> None:
    assert finds(given_text, given_text, language)
    for form in ("NFC", "NFD"):
        assert words.tokens(unicodedata.normalize(form, given_text)) == words.tokens(given_text)
    assert finds(given_text.casefold(), given_text, language)


@given(STRINGS, LANGUAGES)
def test_tokens_hold_neither_capitals_of_ascii_nor_what_an_index_would_read(
    given_text: str, language: str | None
) -> None:
    for token in words.tokens(given_text, language).split():
        assert not set(token) & set("\"'\\|&!()*:<> \x00ABCDEFGHIJKLMNOPQRSTUVWXYZ"), token


def test_a_long_run_becomes_several_words_and_loses_nothing() -> None:
    assert [len(each) for each in words.tokens("a1" * 75).split()] == [65, 65, 23]


@given(st.lists(STRINGS, min_size=1, max_size=5), LANGUAGES)
def test_fts5_takes_every_token_as_one_word(texts: list[str], language: str | None) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE found USING fts5(words, tokenize = 'ascii')")
    database.execute("CREATE VIRTUAL TABLE terms USING fts5vocab(found, 'row')")
    every = [words.tokens(one, language) for one in texts]
    database.executemany("INSERT INTO found VALUES (?)", [(one,) for one in every])
    held = [set(one.split()) for one in every]
    assert {term for (term,) in database.execute("SELECT term FROM terms")} == set().union(*held)


def test_what_is_remembered_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_REMEMBERED", 3)
    assert words.tokens("one two three four five five", "en").split() == [
        "eone",
        "etwo",
        "ethree",
        "efour",
        "efive",
        "efive",
    ]
