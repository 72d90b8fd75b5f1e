"""Words of every script through both databases: found in lists and in search, now, in the past and after redaction.

Each row stands in one ledger as the title of a source that stays, of one that says something else later, and as the name of
an entity; and all of them in a source and an entity that are redacted. Titles of the seed are read from its files.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from api.domain.words import sought
from tests.support.builders import Operation, a_source, an_entity, revise
from tests.support.served import Served, migrated, serve

SEED = Path(__file__).parents[2] / "seed"


class Row(NamedTuple):
    """A text in a language, words that find it, and words that do not."""

    language: str
    said: str
    found: tuple[str, ...]
    not_found: tuple[str, ...] = ()


# Of the titles of sources in the seed, by the source.
OF_THE_SEED = {
    "iza-20210111-offline": (("右派", "新興SNS", "SNSが停止", "トランプ", "支持者", "使用"), ("右脈", "新典", "ドランプ", "使川", "停上")),
    "diamond-202101-parler": (("SNSパーラー", "パーラー", "ﾊﾟｰﾗｰ", "SNS", "アマゾン", "保守系"), ("SNSバーラー", "ハーラー", "アマソン", "SMS")),
    "nippon-com-20210420-reuters": (("米アップル", "再び", "アップストア"), ("米アッブル", "再ぴ", "アッフル")),
    "xrxxw-202101-parler": (("亚马逊", "苹果谷歌", "谷", "特朗普", "Parler", "阵地Parler是什么"), ("亚马孙", "谷苹果", "平果", "特郎普")),
    "rfi-cn-202101-afp-offline": (("保守派", "被迫下线", "社交平台Parler"), ("保寸派", "下钱")),
    "hankyung-20210110-parler": (("애플", "아마존", "親트럼프", "팔러", "탄압"), ("애풀", "아마촌", "펄러", "탄앞")),
    "arabicradio-ir-202101-zakharova": (("حسابات", "ترامب", "زاخاروفا", "حِسَابَات", "حســابات"), ("خسابات", "نرامب", "زاخاروقا")),
    "ua-news-20210111-amazon": (("заблокував", "соцмережі", "Трампа"), ("соцмережї", "Трамра")),
    "officelife-202304-starboard": (("закрыл", "закрыли", "соцсеть", "покупка"), ("сацсеть", "соцсеть2")),
    "vietgiaitri-20210115-matze": (("Ứng dụng", "ung dung", "tro lai"), ("ung dun",)),
}  # fmt: skip
OF_OTHERS = (
    Row("ja", "パーラーが停止した", ("が停止", "パーラー", "停止"), ("か停止", "バーラー", "停留")),
    Row("ja", "新興SNSパーラーの株", ("SNSパーラー", "興SNS", "パーラーの株"), ("SNSハーラー", "典SNS")),
    Row("ko", "Parler가 파를러를 닫았다", ("Parler가", "parler", "파를러를", "닫았다"), ("파를라", "닫앗다")),
    Row("zh-Hant", "亞馬遜封鎖社群網站", ("亞馬遜", "封鎖", "社群"), ("亞馬孫", "封銷", "社郡")),
    Row("th", "ปิดกั้นเครือข่ายสังคม", ("เครือข่าย", "ปิดกั้น", "สังคม"), ("เครือขาย", "ปิดกัน", "สังคัม")),
    Row("th", "ที่มา กิน", ("ที่", "กิน"), ("ที", "กัน", "กีน")),
    Row("hi", "ट्विटर ने खाता बंद किया", ("ट्विटर", "खाता", "बंद"), ("ट्वीटर", "खत", "बद")),
    Row("hi", "कल कि", ("कल", "कि"), ("काल", "की", "कु")),
    Row("ta", "கணக்கு முடக்கப்பட்டது கல்", ("கணக்கு", "கல்"), ("காணக்கு", "கால்", "கில்")),
    Row("ar", "مُحَمَّد على كـتاب ١٢", ("محمد", "علي", "على", "كتاب", "کتاب", "12", "۱۲", "کتــاب"), ("مجمد", "13", "كباب")),
    Row("fa", "حساب یک ۱۲ علی", ("حساب", "يك", "یک", "١٢", "12", "على"), ("جساب", "١٣", "بک")),
    Row("he", "שָׁלוֹם", ("שלום", "שָׁלוֹם"), ("שלון",)),
    Row("uk", "Об’єднання п'ять її", ("обʼєднання", "об'єднання", "обєднання", "пʼять", "її"), ("обеднання", "іі", "ії")),
    Row("ru", "ещё и", ("ещё", "и"), ("й", "еши")),
    Row("haw", "Hawaiʻi", ("Hawaii", "Hawai'i", "Hawai’i", "hawaiʻi"), ("Hawai", "Hawaiki")),
    Row("en", "Parler™ ① ❷nd x² and ℠mark", ("Parler", "1", "2", "x", "x²", "①", "nd", "mark"), ("Parlertm", "x2", "3")),
    Row("el", "Η εφαρμογή αφαιρέθηκε", ("εφαρμογη", "ΕΦΑΡΜΟΓΉ"), ("εφαρμοχη",)),
    Row("tr", "ısı İstanbul", ("isi", "istanbul", "İSTANBUL"), ("İstanbal",)),
)  # fmt: skip


def _titles() -> Mapping[str, tuple[str, str]]:
    lines = (line for file in SEED.glob("*.ndjson") for line in file.read_text(encoding="utf-8").splitlines())
    recorded = (each for each in map(json.loads, lines) if (each["op"], each["kind"]) == ("record", "source"))
    return {
        each["id"]: (each["body"]["language"], each["body"]["title"]) for each in recorded if each["id"] in OF_THE_SEED
    }


_ALL = (*(Row(*_titles()[source], *words) for source, words in OF_THE_SEED.items()), *OF_OTHERS)
ROWS = {f"{row.language.lower()}-{number}": row for number, row in enumerate(_ALL)}


class World(NamedTuple):
    """A ledger with all rows, and the position before any of them was revised."""

    served: Served
    before: int

    def finds(self, words: str, *, then: bool = False) -> set[str]:
        """Name what is found, by `/v1/search` and by lists alike."""
        asked = {"q": words, "limit": 500} | ({"as_of": self.before} if then else {})
        # A search finds any of the words, and says how many.
        found = {item["id"] for item in self._items("search", asked) if item["words"] == len(sought(words))}
        assert found == {item["id"] for path in ("sources", "entities") for item in self._items(path, asked)}
        return found

    def _items(self, path: str, asked: Mapping[str, str | int]) -> list[dict[str, Any]]:
        answer = self.served.client.get(f"/v1/{path}", params=asked)
        assert answer.status_code == 200, answer.text
        items: list[dict[str, Any]] = answer.json()["items"]
        return items


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with migrated(request, request.param, tmp_path_factory.mktemp("scripts")) as settings, serve(settings) as served:
        before = served.append(*_recorded())
        served.append(*(revise("source", f"{name}-revised", expect=1, title="Nothing") for name in ROWS))
        for kind in ("source", "entity"):
            gone = {"kind": kind, "id": f"gone-{kind}", "basis": "error", "reason": "Made up"}
            assert served.post("/v1/redactions", gone).status_code == 201
        yield World(served, before)


def _recorded() -> Iterator[Operation]:
    for name, row in ROWS.items():
        yield a_source(f"{name}-stays", title=row.said, language=row.language)
        yield a_source(f"{name}-revised", title=row.said, language=row.language)
        yield an_entity(f"{name}-called", name="Somebody", names={row.language: row.said})
    yield a_source("gone-source", title=" / ".join(row.said for row in ROWS.values()))
    yield an_entity(
        "gone-entity", name="Anybody", names={f"{row.language}-x-{name}": row.said for name, row in ROWS.items()}
    )


@pytest.mark.parametrize("name", ROWS)
def test_words_are_found_and_neighbours_by_a_letters_own_mark_are_not(world: World, name: str) -> None:
    row, stay = ROWS[name], {f"{name}-stays", f"{name}-called"}
    now = {words: _of(name, world.finds(words)) for words in (*row.found, *row.not_found)}
    then = {words: _of(name, world.finds(words, then=True)) for words in (*row.found, *row.not_found)}
    assert now == {words: stay if words in row.found else set() for words in now}
    assert then == {words: stay | {f"{name}-revised"} if words in row.found else set() for words in then}


def _of(name: str, found: set[str]) -> set[str]:
    """Leave out other rows, and nothing that is redacted."""
    return {each for each in found if each.rpartition("-")[0] in (name, "gone")}
