"""A name put next to another's pseudonym is found out, and is nowhere as the approver."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import StaticPool, create_engine, insert, text
from stored_world import StoredWorld

from tracecore.commands.shell import cli
from tracecore.errors import NegativeVerdict, UsageError
from tracecore_lineage.catalog import pseudonyms
from tracecore_lineage.catalog.pseudonyms import person_of, pseudonym_of
from tracecore_lineage.exchange.bug_reports import report_bug
from tracecore_lineage.ledger import sql_tables
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.seal.seal import sealed_build

FALSE = {
    "another name": "UPDATE person SET name = 'mallory' WHERE name = 'Ada Lovelace'",
    "another case": "UPDATE person SET name = 'ada lovelace' WHERE name = 'Ada Lovelace'",
    "no name": "UPDATE person SET name = '' WHERE name = 'Ada Lovelace'",
    "another salt": "UPDATE person SET salt = '00000000000000000000000000000000' WHERE name = 'Ada Lovelace'",
    "no salt": "UPDATE person SET salt = '' WHERE name = 'Ada Lovelace'",
    "both of another": (
        "UPDATE person SET (salt, name) = (SELECT salt, 'mallory' FROM person AS other WHERE other.name = 'Grace Hopper') WHERE name = 'Ada Lovelace'"
    ),
    "names almost swapped": "UPDATE person SET name = CASE name WHEN 'Ada Lovelace' THEN 'Grace Hopper ' ELSE 'Ada Lovelace ' END",
}


SWAPPED = ("name", "salt, name", "pseudonym", "salt")
"""What an exact exchange between two persons' rows takes to the other; a third value between keeps the unique constraints."""


@pytest.fixture
def sealed(tmp_path: Path) -> StoredWorld:
    """A build that Ada approved; Grace is known too."""
    world = StoredWorld.at(tmp_path / "workspace").all()
    world.seal(approver="Ada Lovelace")
    world.record.recorder.commit(pseudonym_of, "Grace Hopper")
    return world


def ask(world: StoredWorld, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--workspace", str(world.record.workspace.root)], prog_name="tracecore")


def change(world: StoredWorld, statement: str) -> None:
    with world.record.database.write() as connection:
        connection.execute(text(statement))


def approver(world: StoredWorld) -> str:
    build = world.record.query(sealed_build, "demo")
    assert build is not None
    return str(build.statement["predicate"]["approver"])


def test_a_pseudonym_is_the_salted_commitment_that_the_page_says(sealed: StoredWorld) -> None:
    with sealed.record.database.read() as connection:
        rows = connection.execute(text("SELECT pseudonym, salt, name FROM person")).all()
    assert {row.name for row in rows} == {"Ada Lovelace", "Grace Hopper"}
    for row in rows:
        data = rfc8785.dumps({"v": 1, "type": "tracecore.person", "salt": row.salt, "name": row.name})
        assert row.pseudonym == f"person-{hashlib.sha256(data).hexdigest()[:32]}"
        assert len(bytes.fromhex(row.salt)) == 16


@pytest.mark.parametrize("case", FALSE)
def test_a_false_name_fails_verify_doctor_and_replay_and_is_shown_nowhere(sealed: StoredWorld, case: str) -> None:
    pseudonym = approver(sealed)
    change(sealed, FALSE[case])
    for ref in (None, "build/demo"):
        verdict = sealed.record.verify(ref)
        assert not verdict["ok"]
        assert pseudonym in {failure["ref"] for failure in verdict["failures"]}
        assert not {failure["what"] for failure in verdict["failures"]} - {"name of a person"}
    assert (ask(sealed, "replay", "--check").exit_code, ask(sealed, "doctor").exit_code) == (1, 1)
    assert pseudonym in ask(sealed, "doctor").stdout
    assert f"person {pseudonym}: false name" in ask(sealed, "replay", "--check").stdout
    for arguments in (("trace", "build/demo"), ("show", "build/demo")):
        said = ask(sealed, *arguments).stdout
        assert f"approver {pseudonym} (NAME NOT VALID: tracecore verify says more)" in said
        assert "mallory" not in said
        assert "ovelace" not in said
    assert sealed.record.query(person_of, pseudonym) is None


def exchange(world: StoredWorld, columns: str) -> None:
    """Exchange columns between Ada's row and Grace's, by their row numbers: the rows keep their places."""
    with world.record.database.write() as connection:
        rows = {row.name: row for row in connection.execute(text("SELECT rowid AS place, pseudonym, salt, name FROM person")).all()}
        ada, grace = rows["Ada Lovelace"], rows["Grace Hopper"]
        for column in columns.split(", "):
            for place, value in ((ada.place, f"between-{column}"), (grace.place, getattr(ada, column)), (ada.place, getattr(grace, column))):
                connection.execute(text(f"UPDATE person SET {column} = :value WHERE rowid = :place"), {"value": value, "place": place})


@pytest.mark.parametrize("columns", SWAPPED)
def test_persons_exchanged_exactly_fail_verify_and_neither_is_shown_for_the_other(sealed: StoredWorld, columns: str) -> None:
    pseudonym = approver(sealed)
    exchange(sealed, columns)
    verdict = sealed.record.verify()
    assert len([failure for failure in verdict["failures"] if failure["what"] == "name of a person"]) == 2
    assert not sealed.record.verify("build/demo")["ok"]
    said = ask(sealed, "trace", "build/demo").stdout
    assert f"approver {pseudonym} (NAME NOT VALID" in said
    assert "Hopper" not in said
    assert "Lovelace" not in said
    exchange_back = {"name": "name", "salt, name": "salt, name"}.get(columns)
    if exchange_back is not None:
        exchange(sealed, exchange_back)
        assert sealed.record.verify()["ok"]


NAMES = ["Ada Lovelace", "Grace Hopper", "Mary Jackson"]
PERSONS = [(pseudonyms.commitment(f"{number:032x}", name), f"{number:032x}", name) for number, name in enumerate(NAMES)]
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("rename"), st.sampled_from(range(3)), st.sampled_from([*NAMES, "mallory", "", "Ada Lovelace "])),
        st.tuples(st.just("salt"), st.sampled_from(range(3)), st.sampled_from(["", "0" * 32, "of another"])),
        st.tuples(st.just("swap"), st.sampled_from(range(3)), st.sampled_from(range(3))),
        st.tuples(st.just("delete"), st.sampled_from(range(3)), st.none()),
        st.tuples(st.just("duplicate"), st.sampled_from(range(3)), st.sampled_from(["same pseudonym", "new pseudonym"])),
        st.tuples(st.just("restore"), st.sampled_from(range(3)), st.none()),
    ),
    min_size=1,
    max_size=6,
)


def edited(edits: list[tuple[str, int, Any]]) -> list[list[str]]:  # noqa: C901  # one branch for each kind of edit
    """Return the rows of three persons after edits."""
    rows = [list(row) for row in PERSONS]
    for what, which, value in edits:
        mine = [row for row in rows if row[0] == PERSONS[which][0]]
        match what:
            case "restore":
                rows = [row for row in rows if row not in mine] + [list(PERSONS[which])]
            case "delete":
                rows = [row for row in rows if row not in mine]
            case "duplicate":
                rows += [[row[0] if value == "same pseudonym" else f"person-{len(rows):032x}", *row[1:]] for row in mine]
            case "swap":
                for row, other in zip(mine, [row for row in rows if row[0] == PERSONS[value][0]], strict=False):
                    row[1:], other[1:] = other[1:], row[1:]
            case "salt":
                for row in mine:
                    row[1] = PERSONS[(which + 1) % 3][1] if value == "of another" else value
            case "rename":
                for row in mine:
                    row[2] = value
    return rows


@given(edits=EDITS)
@settings(max_examples=150, deadline=None)
def test_whatever_is_edited_in_the_table_of_persons_a_name_is_shown_for_its_own_pseudonym_or_not_at_all(edits: list[tuple[str, int, Any]]) -> None:
    """An owner of the database may drop its constraints too: the table here has none."""
    rows = edited(edits)
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE person (pseudonym TEXT, salt TEXT, name TEXT)"))
        for row in rows:
            connection.execute(insert(sql_tables.PERSONS).values(row))
        assert set(pseudonyms.invalid_names(connection)) == {row[0] for row in rows if pseudonyms.commitment(row[1], row[2]) != row[0]}
        for person in PERSONS:
            pseudonym, _, name = person
            there, true = any(row[0] == pseudonym for row in rows), list(person) in rows
            assert pseudonyms.person_of(connection, pseudonym) == (name if true else None)
            reason = "NAME NOT VALID: tracecore verify says more" if there else "unresolvable"
            assert pseudonyms.display_name(connection, pseudonym) == (name if true else f"{pseudonym} ({reason})")
        assert set(pseudonyms.known(connection)) <= {(pseudonym, name) for pseudonym, _, name in PERSONS}
        for name in NAMES:
            same = {row[0] for row in rows if row[2] == name}
            with suppress(NegativeVerdict):
                assert pseudonyms.pseudonym_of(connection, name) in same or not same


def test_a_false_name_is_not_shown_as_who_reported_a_bug_or_waived_a_gate(sealed: StoredWorld) -> None:
    bug = report_bug(sealed.record.recorder, "glare", build="build/demo", reporter="Grace Hopper").bug
    change(sealed, "UPDATE person SET name = 'mallory' WHERE name = 'Grace Hopper'")
    for arguments in (("bug", "show", bug.id), ("show", bug.ref)):
        said = ask(sealed, *arguments).stdout
        assert "mallory" not in said
        assert f"{bug.reporter} (NAME NOT VALID" in said


def test_an_erased_person_is_shown_as_unresolvable_and_everything_verifies(sealed: StoredWorld) -> None:
    pseudonym = approver(sealed)
    withdraw(sealed.record.recorder, "Ada Lovelace", "left the project")
    assert sealed.record.verify()["ok"]
    assert ask(sealed, "doctor").stdout == "All is well.\n"
    for arguments in (("trace", "build/demo"), ("show", "build/demo")):
        assert f"approver {pseudonym} (unresolvable)" in ask(sealed, *arguments).stdout


def test_a_false_name_gets_no_pseudonym_and_withdraws_nobody(sealed: StoredWorld) -> None:
    pseudonym = approver(sealed)
    change(sealed, FALSE["another name"])
    with pytest.raises(NegativeVerdict, match=f"The name kept for {pseudonym} is not the one it commits to"):
        sealed.record.recorder.commit(pseudonym_of, "mallory")
    with pytest.raises(UsageError, match="or a known person"):
        withdraw(sealed.record.recorder, "mallory", "asked for it")
    withdraw(sealed.record.recorder, pseudonym, "its name is false")
    assert sealed.record.verify()["ok"]


def test_a_name_that_is_no_text_is_one_sentence(sealed: StoredWorld) -> None:
    with pytest.raises(UsageError, match="A name can't be recorded"):
        sealed.record.recorder.commit(pseudonym_of, "Ada \udcff")


def test_the_same_name_has_another_pseudonym_in_another_workspace(sealed: StoredWorld, tmp_path: Path) -> None:
    other = StoredWorld.at(tmp_path / "other")
    assert other.record.recorder.commit(pseudonym_of, "Ada Lovelace") != approver(sealed)
    with sealed.record.database.read() as connection:
        assert pseudonyms.invalid_names(connection) == []
