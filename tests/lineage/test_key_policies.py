"""Key policies: how many of whose keys a build needs, what changes that, and for which builds it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cosigners import ADA, BO, STRANGER, policy, signatures

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage import Record
from tracecore_lineage.crypto.envelope import seal_payload
from tracecore_lineage.crypto.keys import PrivateKey
from tracecore_lineage.seal.key_events import cosign, draft_policy
from tracecore_lineage.trace.show import show

DATABASES = ("sqlite", "postgresql")


def test_a_policy_holds_for_builds_sealed_after_it_and_not_for_those_before(world: RecordWorld) -> None:
    world.all().seal("first")
    policy(world.record, 1, ADA)
    world.train("other weights")
    world.seal("second")
    assert world.record.query(show, "build/first", workspace=world.record.workspace)["signatures"]["required"] is None
    assert world.record.query(show, "build/second", workspace=world.record.workspace)["signatures"]["required"] == 1
    # The one in force may sign what was sealed before all the same: it counts for users who pin it.
    cosign(world.record.recorder, "first", [ADA])
    assert world.record.query(show, "build/first", workspace=world.record.workspace)["signatures"]["signed"][-1] == ADA.public.id


def test_a_policy_is_changed_only_by_as_many_of_its_own_keys_as_it_asks_for(asked: Record) -> None:
    with pytest.raises(UsageError, match="The policy can't be changed: expected signatures by 2 of 3 keys of the policy before, found 1 "):
        policy(asked, 1, STRANGER, sign=(ADA,))
    with pytest.raises(UsageError, match="is not a signer of the policy in force"):
        policy(asked, 1, STRANGER, sign=(STRANGER, ADA))
    with pytest.raises(UsageError, match=r"found 1 \("):
        policy(asked, 1, STRANGER, sign=(ADA, ADA))
    assert policy(asked, 1, STRANGER, sign=(ADA, BO))
    assert not policy(asked, 1, STRANGER)
    # What was sealed under the old policy still asks for its keys.
    assert signatures(asked)["required"] == 2
    assert asked.verify("build/demo")["ok"] is False


def test_a_policy_that_the_owner_of_the_workspace_slips_in_is_named_and_never_comes_into_force(asked: Record) -> None:
    from tracecore_lineage.crypto.policy import POLICY_PAYLOAD
    from tracecore_lineage.model.facets import TracecoreKeyPolicyRunFacet

    weak = draft_policy(asked.recorder, 1, [STRANGER.public])
    envelope = seal_payload(weak.payload(), asked.recorder.keys.private(), payload_type=POLICY_PAYLOAD)
    facet = TracecoreKeyPolicyRunFacet(1, [{"id": STRANGER.public.id, "public_key": STRANGER.public.pem}], weak.previous, envelope)
    with asked.database.write() as connection:
        asked.recorder.append_fact(connection, "key_policy", datetime.now(UTC), facets={"tracecore_key_policy": facet})
    with asked.database.write() as connection:
        asked.recorder.append_fact(connection, "key_policy", datetime.now(UTC), facets={"tracecore_key_policy": {**_plain(facet), "threshold": 2}})
    named = [(each["expected"], each["found"]) for each in asked.verify()["failures"] if each["what"] == "key policy"]
    assert named[0][0] == "signatures by 2 of 3 keys of the policy before"
    assert "threshold is 2 of 1 keys" in named[1][1]
    RecordWorld(asked).all().seal("later")
    assert asked.query(show, "build/later", workspace=asked.workspace)["signatures"]["required"] == 2


def _plain(facet: Any) -> dict[str, Any]:
    from tracecore_lineage.events.build import plain

    made: dict[str, Any] = plain(facet)
    return made


@pytest.mark.parametrize(
    ("threshold", "signers", "told"),
    [
        (0, [ADA], "A threshold of 0 can't be met by 1 signer"),
        (3, [ADA, BO], "expected 1 to 2"),
        (1, [ADA, ADA], "is given twice: each key counts once"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(world: RecordWorld, threshold: int, signers: list[PrivateKey], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        policy(world.record, threshold, *signers)


def test_without_a_policy_nobody_is_asked_to_cosign(world: RecordWorld) -> None:
    world.all().seal()
    with pytest.raises(UsageError, match="no key policy is in force; say first which keys sign builds"):
        cosign(world.record.recorder, "demo", [ADA])
    with pytest.raises(UsageError, match=r"build/demos is not in the record\. Did you mean 'demo'"):
        cosign(world.record.recorder, "demos", [ADA])
