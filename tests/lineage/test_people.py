"""A name that somebody put beside another's pseudonym is found out, and stands nowhere as the approver."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import rfc8785
from click.testing import CliRunner, Result
from sqlalchemy import text
from stored_world import StoredWorld

from tracecore.cli import cli
from tracecore.errors import AnswerIsNo, UsageProblem
from tracecore_lineage import people

FALSE = {
    "another name": "UPDATE person SET name = 'mallory' WHERE name = 'Ada Lovelace'",
    "another case": "UPDATE person SET name = 'ada lovelace' WHERE name = 'Ada Lovelace'",
    "no name": "UPDATE person SET name = '' WHERE name = 'Ada Lovelace'",
    "another salt": "UPDATE person SET salt = '00000000000000000000000000000000' WHERE name = 'Ada Lovelace'",
    "no salt": "UPDATE person SET salt = '' WHERE name = 'Ada Lovelace'",
    "both of another": (
        "UPDATE person SET (salt, name) = (SELECT salt, 'mallory' FROM person AS other WHERE other.name = 'Grace Hopper') WHERE name = 'Ada Lovelace'"
    ),
    "names swapped": "UPDATE person SET name = CASE name WHEN 'Ada Lovelace' THEN 'Grace Hopper ' ELSE 'Ada Lovelace ' END",
}


@pytest.fixture
def sealed(tmp_path: Path) -> StoredWorld:
    """A build that Ada approved; Grace is known too."""
    world = StoredWorld.at(tmp_path / "workspace").all()
    world.seal(approver="Ada Lovelace")
    world.record.pseudonym("Grace Hopper")
    return world


def ask(world: StoredWorld, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "--workspace", str(world.record.workspace.root)], prog_name="tracecore")


def change(world: StoredWorld, statement: str) -> None:
    with world.record.database.write() as connection:
        connection.execute(text(statement))


def approver(world: StoredWorld) -> str:
    build = world.record.build("demo")
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
    assert sealed.record.person(pseudonym) is None


def test_a_false_name_is_not_shown_as_who_reported_a_bug_or_waived_a_gate(sealed: StoredWorld) -> None:
    bug = sealed.record.report_bug("glare", build="build/demo", reporter="Grace Hopper").bug
    change(sealed, "UPDATE person SET name = 'mallory' WHERE name = 'Grace Hopper'")
    for arguments in (("bug", "show", bug.id), ("show", bug.ref)):
        said = ask(sealed, *arguments).stdout
        assert "mallory" not in said
        assert f"{bug.reporter} (NAME NOT VALID" in said


def test_an_erased_person_is_shown_as_unresolvable_and_everything_verifies(sealed: StoredWorld) -> None:
    pseudonym = approver(sealed)
    sealed.record.withdraw("Ada Lovelace", "left the project")
    assert sealed.record.verify()["ok"]
    assert ask(sealed, "doctor").stdout == "All is well.\n"
    for arguments in (("trace", "build/demo"), ("show", "build/demo")):
        assert f"approver {pseudonym} (unresolvable)" in ask(sealed, *arguments).stdout


def test_a_false_name_gets_no_pseudonym_and_withdraws_nobody(sealed: StoredWorld) -> None:
    pseudonym = approver(sealed)
    change(sealed, FALSE["another name"])
    with pytest.raises(AnswerIsNo, match=f"The name kept for {pseudonym} is not the one it stands for"):
        sealed.record.pseudonym("mallory")
    with pytest.raises(UsageProblem, match="nobody known here"):
        sealed.record.withdraw("mallory", "asked for it")
    sealed.record.withdraw(pseudonym, "its name is false")
    assert sealed.record.verify()["ok"]


def test_a_name_that_is_no_text_is_one_sentence(sealed: StoredWorld) -> None:
    with pytest.raises(UsageProblem, match="A name can't be recorded"):
        sealed.record.pseudonym("Ada \udcff")


def test_the_same_name_has_another_pseudonym_in_another_workspace(sealed: StoredWorld, tmp_path: Path) -> None:
    other = StoredWorld.at(tmp_path / "other")
    assert other.record.pseudonym("Ada Lovelace") != approver(sealed)
    with sealed.record.database.read() as connection:
        assert people.false_names(connection) == []
