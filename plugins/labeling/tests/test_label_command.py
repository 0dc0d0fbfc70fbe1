"""`tracecore label …`: a campaign by hand, from its making to the label batch; and exports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from campaign_world import frames_of, tables
from click.testing import Result

from tracecore.errors import UsageError
from tracecore.testing.drawn_frames import drive_of
from tracecore.testing.worlds import ResolvedInput, StageWorld, run_command
from tracecore_schemas.arrow_tables import FRAMES, table_of

ANN, BEN = "labeler-0a0a0a01", "labeler-0b0b0b02"
TRACKED = '{"category": "car", "box": [1, 2, 3, 4], "track": "7"}'


@pytest.fixture
def frames(world: StageWorld, monkeypatch: pytest.MonkeyPatch) -> ResolvedInput:
    """Frames that the record knows, with a simulated campaign over them."""
    monkeypatch.setenv("TRACECORE_HOME", str(world.base / "workspace"))
    monkeypatch.delenv("TRACECORE_LABELER", raising=False)
    monkeypatch.chdir(world.base)
    given, truth = tables(4)
    supplied = world.table("dataset", "test.frames", given)
    inputs = {
        "frames": supplied,
        "truth": world.table("label_batch", "test.truth", truth),
        "gold": world.table("dataset", "test.gold", given[:1]),
        "gold_selection": world.table("dataset", "test.other", table_of(FRAMES, drive_of("gamma", 1))),
    }
    world.run("label", "campaign", inputs, guideline="v3")
    return supplied


def label(*arguments: str, stdin: str | None = None) -> Result:
    return run_command("label", *arguments, stdin=stdin)


def answer(*arguments: str, stdin: str | None = None) -> Any:
    result = label(*arguments, "--json", stdin=stdin)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def problem(*arguments: str, code: int = 2, stdin: str | None = None) -> str:
    result = label(*arguments, stdin=stdin)
    assert result.exit_code == code, result.output
    return result.stderr


def create(*options: str, name: str = "night") -> Any:
    return answer("campaign", "create", name, "--frames", "dataset/test.frames", "--guideline", "v3", *options)


@pytest.mark.usefixtures("frames")
def test_a_campaign_by_hand_becomes_a_label_batch_with_its_making(world: StageWorld, frames: ResolvedInput) -> None:
    (world.base / "guideline.md").write_text("Label cars.")
    made = create("--review", "1", "--category", "car", "--category", "sign", "--tool", "boxer 2", "--guideline-file", "guideline.md")
    assert (made["tasks"], made["frames"]) == (4, frames.artifact.ref)
    claimed = answer("claim", "--as", ANN, "--image", "task.png")
    images = {frame["frame_id"]: frame["image"] for frame in frames_of(4)}
    assert (world.base / "task.png").read_bytes() == images[claimed["frame"]["frame_id"]]
    assert (claimed["role"], claimed["guideline"], claimed["categories"], claimed["refusals"]) == ("label", "v3", ["car", "sign"], 0)
    first = claimed["task"]
    assert answer("refuse", first, "--reason", "lens covered", "--as", ANN)["refused"]
    second = answer("claim", "--as", ANN)["task"]
    boxes = json.dumps([{"category": "car", "box": [1, 2, 30, 40]}, {"category": "sign", "box": [50, 10, 5, 5], "attributes": {"occluded": "yes"}}])
    taken = answer("submit", second, "--file", "-", "--as", ANN, stdin=boxes)
    assert (taken["labels"], taken["repeated"]) == (2, False)
    assert answer("submit", second, "--file", "-", "--as", ANN, stdin=boxes)["repeated"]
    review = answer("claim", "--review", "--as", BEN)
    assert (review["task"], review["labeler"], [each["category"] for each in review["labels"]]) == (second, ANN, ["car", "sign"])
    review["labels"][0]["box"] = [1, 2, 31, 40]
    (world.base / "corrected.json").write_text(json.dumps({"labels": review["labels"]}))
    assert answer("review", second, "correct", "--file", "corrected.json", "--as", BEN)["verdict"] == "corrected"
    assert answer("claim", "--as", BEN)["task"] == first
    answer("submit", first, "--file", "-", "--as", BEN, stdin="[]")
    answer("review", first, "accept", "--as", ANN)
    status = answer("status")
    assert (status["done"], status["open"], status["refusals"], status["reasons"]) == (2, 2, 1, {"lens covered": 1})
    assert status["labelers"] == {ANN: 1, BEN: 1}
    history = answer("show", "night", "--task", first)["history"]
    assert [each["action"] for each in history] == ["task", "claim", "refuse", "claim", "submit", "review"]
    closed = answer("close", "night", "-o", "night.campaign.json")
    assert (closed["tasks"], closed["done"]) == (4, 2)
    outcome = world.run("label", "campaign", {"frames": frames}, asset="labels", paths=["night.campaign.json"])
    assert all(check.success for check in outcome.checks), [check.message for check in outcome.checks]
    rows = {row["category"]: row for row in world.read(outcome, "labels").to_pylist()}
    car = rows["car"]
    assert (car["labeler"], car["reviewer"], car["qa"], car["revision"], car["width"], car["guideline"]) == (ANN, BEN, "corrected", 1, 31, "v3")
    assert (rows["sign"]["qa"], dict(rows["sign"]["attributes"]), rows["sign"]["tool"]) == ("accepted", {"occluded": "yes"}, "boxer 2")
    assert (rows[None]["geometry"], rows[None]["refusals"], rows[None]["labeler"]) == ("none", 1, BEN)
    facet = outcome.outputs["labels"].facets["tracecore_labels"]
    assert (facet["campaign"], facet["labelers"], facet["refusals"], facet["agreed_share"]) == ("night", [ANN, BEN], 1, 0.5)
    assert list(facet["guideline_digests"]) == ["v3"]
    assert [unknown.why for unknown in outcome.outputs["labels"].unknowns] == [
        "2 of 4 tasks of 'night' were not finished (0 of them refused), so their frames have no labels."
    ]
    trace = world.record.trace(outcome.outputs["labels"].ref)
    assert any("night.campaign.json" in node["ref"] for node in trace["nodes"])
    assert {edge["role"] for edge in trace["edges"] if "night.campaign.json" in edge["ref"]} == {"label_file"}


@pytest.mark.usefixtures("frames")
def test_gold_frames_have_to_be_reviewed_before_a_campaign_closes(world: StageWorld) -> None:
    assert create("--review", "0", "--gold", "dataset/test.gold")["gold"] == 1
    task = answer("claim", "--as", ANN)["task"]
    dark = '[{"category": "car", "box": [1, 2, 30, 40], "ignore": true}]'
    answer("submit", task, "--file", "-", "--as", ANN, stdin=dark)
    assert "its 'ignore' is neither true nor false: 'yes'" in problem("submit", task, "--file", "-", "--as", ANN, stdin=dark.replace("true", '"yes"'))
    refusal = problem("close", "night", "-o", "night.campaign.json")
    assert f"is not complete: 1 gold tasks ({task}) are not labeled and reviewed" in refusal
    assert not (world.base / "night.campaign.json").exists()
    status = answer("status")
    assert (status["gold"], status["gold_done"]) == (1, 0)
    assert answer("claim", "--review", "--as", BEN)["labels"][0]["ignore"] is True
    answer("review", task, "accept", "--as", BEN)
    assert "1 of 1 gold frames reviewed" in label("status").stdout
    assert answer("close", "night", "-o", "night.campaign.json")["done"] == 1
    create("--gold", "dataset/test.gold", name="second")
    assert "is not complete" in problem("close", "second", "-o", "second.campaign.json")
    assert answer("close", "second", "-o", "second.campaign.json", "--give-up")["done"] == 0
    assert "None of the 1 frames of dataset/test.other" in problem(
        "campaign", "create", "third", "--frames", "dataset/test.gold", "--guideline", "v3", "--gold", "dataset/test.other"
    )


@pytest.mark.usefixtures("frames")
def test_what_cannot_be_done_is_said_in_a_sentence() -> None:
    assert "There are no campaigns in this workspace: make one with" in problem("claim", "--as", ANN)
    create("--category", "car")
    assert "There is a campaign 'night' already" in problem("campaign", "create", "night", "--frames", "dataset/test.frames", "--guideline", "v3")
    assert "'Night Shift' can't be a campaign's name" in problem(
        "campaign", "create", "Night Shift", "--frames", "dataset/test.frames", "--guideline", "v"
    )
    assert "There is no campaign 'nigth'. Did you mean 'night'?" in problem("show", "nigth")
    assert "A pseudonym is missing: --as labeler-" in problem("claim")
    assert "'Ada Example' could be a person's name" in problem("claim", "--as", "Ada Example")
    task = answer("claim", "--as", ANN)["task"]
    near = problem("submit", task, "--file", "-", "--as", ANN, stdin='[{"category": "cars", "box": [1, 2, 3, 4]}]')
    assert "its class is 'cars', which the campaign doesn't ask for. Did you mean 'car'?" in near
    for text, words in (
        ('[{"category": "car", "box": [90, 2, 30, 4]}]', "its box [90.0, 2.0, 30.0, 4.0] is empty or lies outside the image of 96x64 px"),
        ('[{"category": "car", "box": [1, 2, 3]}]', "its 'box' has 3 numbers, expected 4"),
        ('[{"category": "car"}]', "a box2d needs 'box'"),
        (f"[{TRACKED}, {TRACKED}]", "its track '7' is that of label 0"),
        ('[{"geometry": "path", "path": [1, 2]}]', "its geometry is 'path', but the campaign asks for box2d"),
        ('[{"category": "car", "box": [1, 2, 3, 4], "colour": "red"}]', "it has 'colour'"),
        ('{"boxes": []}', "Expected a list of labels, or an object with the list 'labels'"),
        ("[NaN]", "are not strict JSON: NaN is not a JSON number"),
    ):
        assert words in problem("submit", task, "--file", "-", "--as", ANN, stdin=text)
    assert "The label file 'absent.json' can't be read: no such file" in problem("submit", task, "--file", "absent.json", "--as", ANN)
    assert "labeler-0a0a0a01 holds it until" in problem("submit", task, "--file", "-", "--as", BEN, stdin="[]")
    assert "No campaign has the task 'deadbeef'" in problem("refuse", "deadbeef", "--reason", "x", "--as", ANN)
    assert "A correction needs --file" in problem("review", task, "correct", "--as", BEN)
    assert "Nothing is free for labeler-0b0b0b02 to review in the campaign 'night'" in problem("claim", "--review", "--as", BEN, code=1)
    assert "The file of a campaign is called *.campaign.json" in problem("close", "night", "-o", "night.json")
    create(name="second")
    assert "Several campaigns are open (night, second): say which with --campaign" in problem("claim", "--as", BEN)
    assert answer("claim", "--as", BEN, "--campaign", "second")["campaign"] == "second"
    assert {each["campaign"]: each["tasks"] for each in answer("list")["campaigns"]} == {"night": 4, "second": 4}


@pytest.mark.usefixtures("frames")
def test_people_read_the_same_answers_as_lines() -> None:
    assert "No campaigns." in label("list").stdout
    made = label("campaign", "create", "night", "--frames", "dataset/test.frames", "--guideline", "v3").stdout
    assert made.startswith("Campaign 'night': 4 tasks of dataset/test.frames@")
    assert "96x64 px  yours until" in label("claim", "--as", ANN).stdout
    assert label("list").stdout == "night  open  guideline v3  0 of 4 tasks done\n"
    assert "nobody has finished a task" in label("status").stdout
    assert "guideline: v3" in label("show", "night").stdout
    assert "0 of 4 tasks done; 4 frames stay unlabeled" in label("close", "night", "-o", "night.campaign.json").stdout
    for command in ("", "campaign create", "claim", "refuse", "submit", "review", "show", "close", "export"):
        assert "Example" in label(*command.split(), "--help").stdout, command


def test_an_edited_campaign_file_is_refused(world: StageWorld, frames: ResolvedInput) -> None:
    create("--review", "0")
    task = answer("claim", "--as", ANN)["task"]
    answer("submit", task, "--file", "-", "--as", ANN, stdin="[]")
    answer("close", "night", "-o", "night.campaign.json")
    sound = (world.base / "night.campaign.json").read_text()
    for changed, words in (
        (sound.replace(f'"who":"{ANN}"', f'"who":"{BEN}"', 1), "is inconsistent"),
        (sound.replace("tracecore-campaign/1", "other/1"), "is not a campaign file"),
        ("{", "is not strict JSON"),
        (sound.replace('"action":"close"', '"action":"vanish"'), "log/7: expected"),
        ("\n".join(line for line in sound.splitlines() if '"close"' not in line).replace("},\n]", "}\n]"), "was not closed"),
    ):
        assert changed != sound
        (world.base / "night.campaign.json").write_text(changed)
        with pytest.raises(UsageError, match=r"night\.campaign\.json") as raised:
            world.run("label", "campaign", {"frames": frames}, asset="labels", paths=["night.campaign.json"])
        assert words in str(raised.value)


@pytest.mark.usefixtures("frames")
@pytest.mark.parametrize(("format_", "output"), [("coco", "out.json"), ("yolo", "yolo"), ("kitti", "kitti"), ("openlabel", "open")])
def test_a_recorded_batch_is_exported(world: StageWorld, format_: str, output: str) -> None:
    told = answer("export", "label_batch/test.asset", "--format", format_, "-o", output)
    assert told["ref"].startswith("label_batch/test.asset@")
    assert told["labels"] > 0
    assert Path(world.base / output).exists()
    if format_ != "coco":
        assert f"The folder '{output}' is not empty" in problem("export", "label_batch/test.asset", "--format", format_, "-o", output)


@pytest.mark.usefixtures("frames")
def test_only_labels_are_exported_as_labels() -> None:
    assert "This is not a label batch: it has no column" in problem("export", "dataset/test.frames", "--format", "coco", "-o", "out.json")
    assert "holds no frames" in problem("campaign", "create", "x", "--frames", "label_batch/test.asset", "--guideline", "v")
