"""The table of kinds tells the truth about what is published, and a filter is added to a list in three places."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import Struct, structs

from api.domain.records.kinds import KINDS, Kind
from api.domain.text import Id
from api.ledger.projecting.projection import PROJECTED
from api.routes.contract import params
from api.settings import Settings
from tests.support.builders import a_source
from tests.support.served import serve

ROOT = Path(__file__).parents[2]
QUERIES: dict[str, type[Struct]] = {
    "entity": params.EntityListQuery,
    "source": params.SourceListQuery,
    "question": params.QuestionListQuery,
    "claim": params.ClaimListQuery,
}
# What a list takes beside its filters: which records by name or words, at which clocks, and how much of them is shown.
NO_FILTERS = {
    *("id", "q", "live", "agreement", "order", "limit", "cursor", "fields", "facets", "include"),
    *("as_of", "published_by", "published_from", "published_until", "valid_at", "valid_from", "valid_until", "mode"),
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


def test_a_list_takes_the_filters_of_its_kind_and_no_others(kind: Kind) -> None:
    taken = {each.encode_name for each in structs.fields(QUERIES[kind.name])} - NO_FILTERS

    assert taken == {each.name for each in kind.filters}


def test_the_timeline_takes_the_filters_of_claims_but_for_the_status() -> None:
    taken = {each.encode_name for each in structs.fields(params.TimelineQuery)} - NO_FILTERS

    assert taken == {each.name for each in KINDS["claim"].filters} - {"status"}


def test_what_a_filter_or_a_facet_looks_into_is_a_term_or_stands_with_the_record(kind: Kind) -> None:
    terms = {f"{each.name}.{term.name}" for each in KINDS.values() for term in each.terms}
    beside = {f"{kind.name}.{name}" for name in ("status", *kind.stands_on)} | {"question.agreement"}

    for name in (*(each.name for each in kind.filters), *kind.facets):
        assert set(kind.looked_into(name)) <= terms | beside, name


def test_every_field_that_holds_ids_is_a_reference_or_what_the_record_stands_on(kind: Kind) -> None:
    held = {each.name: _names_records(each.type) for each in structs.fields(kind.body)}

    told = {each.field: "list" if each.is_list else "one" for each in kind.references}
    assert {name: how for name, how in held.items() if how} == told | dict.fromkeys(kind.stands_on, "one")


def _names_records(held: object) -> str | None:
    """Tell whether a field's type is one id, perhaps none, or a list of ids."""
    spelt = str(held)
    if repr(Id) not in spelt:
        return None
    return "list" if "list[" in spelt else "one"


def test_what_is_never_revised_is_there(kind: Kind) -> None:
    assert {*kind.fixed, *kind.fixed_once_answered} <= {"id", *kind.fields}
    assert set(kind.stands_on) <= set(kind.fixed)


def test_words_and_terms_are_read_from_fields_that_are_there(kind: Kind) -> None:
    for said in (*kind.words, *kind.terms):
        assert said.read is not None or said.name in kind.fields, said.name


# A filter that nothing was found by before. Whoever adds one touches these files, and no other but for the document.
ADDED: dict[str, list[tuple[str, str]]] = {
    "api/domain/records/kinds.py": [
        ('Term("authors"),', 'Term("authors"), Term("rights"),'),
        ('Filter("derives_from"),', 'Filter("derives_from"), Filter("rights"),'),
    ],
    "api/routes/contract/params.py": [
        (
            "    derives_from: Several[Id] = []\n",
            "    derives_from: Several[Id] = []\n"
            '    rights: Annotated[Several[str], Meta(description="Only sources under these terms.")] = []\n',
        ),
    ],
    "api/ledger/projecting/projection.py": [(f"PROJECTED: Final = {PROJECTED}", f"PROJECTED: Final = {PROJECTED + 1}")],
}
# Run where those files are changed, over a ledger that was begun before they were.
ASKING = """
import sys
from pathlib import Path

import api
from api.settings import Settings
from tests.support.builders import a_source
from tests.support.served import serve

assert Path(api.__file__).parent == Path.cwd() / "api"
with serve(Settings(database_url=sys.argv[1], rate_limit="off", log_level="error")) as service:
    service.append(
        a_source("later", rights="CC0"), a_source("other", rights="All rights reserved"), a_source("third", rights="None")
    )
    asked = ("rights=CC0", "rights=CC0&rights=None&rights=None")
    found = [service.get(f"/v1/sources?{query}").json()["items"] for query in asked]
    print(*(" ".join(item["id"] for item in items) for items in found), sep=", ")
"""


def test_a_filter_is_added_in_three_places(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "ledger.db")
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'ledger.db'}", rate_limit="off", log_level="error")
    with serve(settings) as service:
        service.append(a_source("before", rights="CC0"))
        assert service.get("/v1/sources?rights=CC0").status_code == 400

    changed = _copy_with(ADDED, tmp_path / "changed")
    asked = [sys.executable, "-c", ASKING, settings.database_url]
    ran = subprocess.run(asked, cwd=changed, env=_finding(changed), capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == "before later, before later third"
    assert len(ADDED) <= 3


def _copy_with(changes: dict[str, list[tuple[str, str]]], folder: Path) -> Path:
    """Copy the package with its migrations, and change some of its files."""
    for name in ("api", "migrations"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "docs"))
    shutil.copy(ROOT / "alembic.ini", folder)
    for name, replaced in changes.items():
        text = (folder / name).read_text(encoding="utf-8")
        for old, new in replaced:
            assert text.count(old) == 1, f"{name}: {old}"
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def _finding(folder: Path) -> dict[str, str]:
    """Give an environment in which the package is found in a folder, and the tests where they are."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}
