"""One trace from the run to the programs that its agents start, also when several processes drove it."""

from __future__ import annotations

from tests.journeys.site import Site, task

TELL = 'echo "$TRACEPARENT $OTEL_RESOURCE_ATTRIBUTES" > {name}; [ {name} != right -o "$MUSTER_ATTEMPT_NUMBER" = 2 ]'


def test_all_entries_and_all_programs_of_a_run_are_in_one_trace_whoever_drives_it(site: Site) -> None:
    told = site.root / "told-by-verify"
    verify = [f'echo "$TRACEPARENT $OTEL_RESOURCE_ATTRIBUTES" >> {told}']
    site.plan(
        task("left", TELL.format(name="left"), expected_paths=["left"], verify=verify),
        task("right", TELL.format(name="right"), expected_paths=["right"], attempts=2),
    )

    assert site.muster("run", "--plan", "plan.md").code == 3
    assert site.muster("approve", "--continue").code == 0

    entries = site.muster("events", "@last", "--jsonl").lines
    run = entries[0]["run"]
    assert {entry["trace"] for entry in entries} == {entries[0]["trace"]}
    root = entries[0]["span"]
    spans = {
        (entry["data"].get("task"), entry["data"].get("attempt")): (entry["span"], entry.get("parent", ""))
        for entry in entries
        if entry["type"] == "task.attempt_started"
    }
    assert set(spans) == {("left", 1), ("right", 1), ("right", 2)}
    assert len({span for span, _ in spans.values()} | {root}) == 4
    assert {parent for _, parent in spans.values()} == {root}
    for entry in entries:
        data = entry["data"]
        belongs = (str(data.get("task")), data["attempt"]) if "attempt" in data else None
        assert (entry["span"], entry.get("parent", "")) == spans.get(belongs, (root, "")), entry["type"]
    for name, number in (("left", 1), ("right", 2)):
        parent, attributes = site.git("show", f"main:{name}").split()
        assert parent == f"00-{entries[0]['trace']}-{spans[name, number][0]}-01"
        assert attributes == f"muster.run={run},muster.task={name},muster.attempt={number}"
    said = told.read_text().splitlines()
    assert len(said) >= 2, "at the audit and on the merged tree of the wave"
    assert said[0] == site.git("show", "main:left")
    assert {line.split("-")[1] for line in said} == {entries[0]["trace"]}


def test_resource_attributes_that_the_operator_lets_in_are_kept(site: Site) -> None:
    site.plan(task("told", 'echo "$OTEL_RESOURCE_ATTRIBUTES" > told', expected_paths=["told"]))
    env = {"MUSTER_RUN_ENV_ALLOW": "OTEL_*", "OTEL_RESOURCE_ATTRIBUTES": "team=core"}

    assert site.muster("run", "--plan", "plan.md", "--gates", "open", env=env).code == 0

    assert site.git("show", "main:told").startswith("team=core,muster.run=")
