"""The coordinator: nothing is lost, nothing is counted twice, and the order of reporting changes nothing."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.findings import Bar, Finding, ReviewerRun, ReviewerStatus, Severity, Verdict
from muster.model.redaction import Redactor
from muster.model.running.state import replace
from muster.review.coordinator import Earlier, Material, coordinate, verdict_of

RULES = ("SECURITY_INJECTION", "MISSING_TEST", "UNIMPLEMENTED_CRITERION")
FILES = {
    "src/a.py": ["import os", "", "def run(name):", "    os.system(name)", "    return name", *["    pass"] * 20],
    "src/b.py": ["x = 1"],
}
MATERIAL = Material(paths=frozenset(FILES), lineage={})
SHELL = Finding(
    rule="SECURITY_INJECTION",
    severity=Severity.MAJOR,
    path="src/a.py",
    line=4,
    title="A parameter reaches the shell",
    detail="Pass a list to subprocess.run instead of os.system(name).",
    impact="Whoever chooses the name runs commands.",
    evidence="os.system(name)",
    reporters=("rules",),
)
AGENT = replace(SHELL, reporters=("agent:claude",), title="Command injection through os.system(name)")


def settle(*findings, material=MATERIAL, **more):
    return coordinate(findings, material, FILES.get, Redactor(), **more)


def test_the_same_rule_at_the_same_line_is_one_finding_with_all_reporters_and_the_highest_severity() -> None:
    kept, dropped = settle(SHELL, replace(AGENT, severity=Severity.BLOCKER))

    assert [(f.severity, f.reporters, f.support) for f in kept] == [(Severity.BLOCKER, ("agent:claude", "rules"), 2)]
    assert kept[0].title == SHELL.title, "the words of a program stay, so that the id stays"
    assert [(drop.drop_pass, drop.finding.reporters) for drop in dropped] == [(1, ("agent:claude",))]


def test_what_is_said_nearby_in_similar_words_is_also_reported_and_never_across_files() -> None:
    near = replace(AGENT, line=6, evidence="pass")
    far = replace(AGENT, line=20, evidence="pass")
    elsewhere = replace(AGENT, path="src/b.py", line=1, evidence="x = 1")

    kept, dropped = settle(SHELL, near, far, elsewhere)

    assert [(f.path, f.line, f.support) for f in kept] == [("src/a.py", 4, 2), ("src/a.py", 20, 1), ("src/b.py", 1, 1)]
    assert kept[0].also == (f"SECURITY_INJECTION in line 6: {AGENT.title}",)
    assert [drop.reason for drop in dropped] == [f"nearly the same as {kept[0].id}"]


def test_a_finding_that_does_not_hold_takes_nothing_along_that_does() -> None:
    wrong = replace(AGENT, severity=Severity.BLOCKER, line=3, evidence="os.remove(name)")

    kept, dropped = settle(wrong, AGENT)

    assert [(f.line, f.severity, f.support) for f in kept] == [(4, Severity.MAJOR, 1)]
    assert [drop.drop_pass for drop in dropped] == [2]


def test_words_that_every_text_has_make_no_two_findings_one() -> None:
    stub = replace(
        SHELL, rule="PLACEHOLDER_IN_CODE", title="It is a stub", detail="Write it, or take it out of the file."
    )
    bare = replace(
        AGENT, line=5, title="It is a bare except", detail="Name it, or let it go out of the way.", evidence=""
    )

    kept, _ = settle(stub, bare)

    assert len(kept) == 2


def test_other_words_at_the_next_line_are_another_finding() -> None:
    other = replace(AGENT, line=5, title="Unused value", detail="Remove it.", evidence="")

    kept, _ = settle(SHELL, other)

    assert len(kept) == 2


@pytest.mark.parametrize(
    ("wrong", "drop_pass", "words"),
    [
        ({"title": "x" * 121}, 2, "title has 121"),
        ({"detail": "x" * 1201}, 2, "detail has 1201"),
        ({"detail": " "}, 2, "what to change"),
        ({"impact": ""}, 2, "impact"),
        ({"path": "src/other.py"}, 2, "not in the range"),
        ({"line": 26}, 2, "25 lines"),
        ({"line": -1}, 2, "no line -1"),
        ({"evidence": "os.system(other)"}, 2, "evidence"),
        ({"line": 9}, 2, "evidence"),
        ({"rule": "HUNCH"}, 3, "no rule 'HUNCH'"),
        ({"line": 0}, 3, "no line"),
        ({"path": "", "line": 0}, 3, "no file"),
    ],
)
def test_an_unsound_finding_is_dropped_with_its_pass_and_the_reason(wrong, drop_pass: int, words: str) -> None:
    kept, dropped = settle(replace(AGENT, **wrong))

    assert kept == ()
    assert [drop.drop_pass for drop in dropped] == [drop_pass]
    assert words in dropped[0].reason


def test_evidence_may_stand_up_to_three_lines_away() -> None:
    assert settle(replace(AGENT, line=7))[0]
    assert not settle(replace(AGENT, line=8))[0]


def test_an_agent_cannot_make_a_rule_weigh_more_than_it_can() -> None:
    agents = replace(AGENT, rule="MISSING_TEST", severity=Severity.BLOCKER)

    assert settle(agents)[0][0].severity is Severity.MINOR
    assert settle(replace(agents, reporters=("rules",)))[0][0].severity is Severity.BLOCKER


def test_a_quick_review_asks_for_no_known_rule() -> None:
    assert settle(replace(AGENT, rule="HUNCH"), reasonable=False)[0]


@pytest.mark.parametrize(
    ("bar", "counting"),
    [
        (Bar.ANY, {"rules", "agent:claude", "agent:claude agent:codex", "agent:claude rules"}),
        (Bar.CORROBORATED, {"rules", "agent:claude agent:codex", "agent:claude rules"}),
        (Bar.VERIFIED, {"rules", "agent:claude rules"}),
    ],
)
def test_the_gate_decides_which_reporters_are_enough(bar: Bar, counting: set[str]) -> None:
    who = ("rules", "agent:claude", "agent:claude agent:codex", "agent:claude rules")

    enough = {each for each in who if settle(*(replace(AGENT, reporters=(r,)) for r in each.split()), bar=bar)[0]}

    assert enough == counting


def test_the_verdict_follows_the_worst_finding_and_a_missing_reviewer_leaves_it_open() -> None:
    late = ReviewerRun(name="agent:x", status=ReviewerStatus.LATE)
    minor = replace(SHELL, severity=Severity.MINOR)
    blocker = replace(SHELL, severity=Severity.BLOCKER)

    assert verdict_of([minor]) is Verdict.ALLOW
    assert verdict_of([minor, SHELL]) is Verdict.WARN
    assert verdict_of([minor, blocker, SHELL]) is Verdict.BLOCK
    assert verdict_of([SHELL], [late]) is Verdict.INCONCLUSIVE
    assert verdict_of([blocker], [late]) is Verdict.BLOCK
    assert verdict_of([], [replace(late, status=ReviewerStatus.SKIPPED)]) is Verdict.ALLOW


def test_an_id_stays_when_the_line_moves_or_the_file_is_renamed_and_goes_when_the_text_changes() -> None:
    moved = {"src/a.py": ["", "", *FILES["src/a.py"]]}
    first = settle(SHELL)[0][0].id
    renamed = coordinate(
        [replace(SHELL, path="new.py")],
        Material(paths=frozenset({"new.py"}), lineage={"new.py": "src/a.py"}),
        lambda path: FILES["src/a.py"],
        Redactor(),
    )
    changed = {"src/a.py": [line.replace("(name)", "(other)") for line in FILES["src/a.py"]]}

    def again(finding, files):
        return coordinate([finding], MATERIAL, files.get, Redactor())[0][0].id

    assert again(replace(SHELL, line=6), moved) == first
    assert renamed[0][0].id == first
    assert again(replace(SHELL, evidence="os.system(other)"), changed) != first


def test_a_refuted_finding_is_dropped_with_the_reason_until_its_text_changes() -> None:
    known = settle(SHELL)[0][0].id

    kept, dropped = settle(SHELL, earlier=Earlier(refuted={known: "name is a constant"}))

    assert kept == ()
    assert dropped[0].reason == "refuted: name is a constant"
    assert settle(replace(SHELL, anchor="other"), earlier=Earlier(refuted={known: "x"}))[0]


def test_a_later_round_adds_only_blockers_in_files_that_did_not_change() -> None:
    known = settle(SHELL)[0][0].id
    second = replace(SHELL, line=18, evidence="pass", title="Another one", detail="Entirely different words here.")
    later = Earlier(round=1, known=frozenset({known}))

    kept, dropped = settle(SHELL, second, earlier=later)

    assert [finding.id for finding in kept] == [known]
    assert "new in round 2" in dropped[0].reason
    assert len(settle(SHELL, replace(second, severity=Severity.BLOCKER), earlier=later)[0]) == 2
    assert len(settle(SHELL, second, earlier=replace(later, touched=frozenset({"src/a.py"})))[0]) == 2


def test_a_finding_that_names_no_part_of_the_brief_brings_a_companion() -> None:
    kept, _ = settle(replace(SHELL, brief_ref="", severity=Severity.MINOR))

    assert {(f.rule, f.severity) for f in kept} == {
        ("SECURITY_INJECTION", Severity.MINOR),
        ("MISSING_BRIEF_REF", Severity.MAJOR),
    }


def test_two_criteria_of_the_brief_stay_two_findings_and_an_agent_may_confirm_one() -> None:
    criterion = replace(
        SHELL, rule="UNIMPLEMENTED_CRITERION", path="", line=0, evidence="", brief_ref="SC-1", title="Criterion 1 fails"
    )
    other = replace(criterion, brief_ref="SC-2", title="Criterion 2 fails")
    agents = replace(criterion, title="Criterion 1 fails: no such file", reporters=("agent:claude",))

    kept, _ = settle(criterion, other, agents)

    assert [(f.brief_ref, f.support) for f in kept] == [("SC-1", 2), ("SC-2", 1)]


SECRET = "ghp_" + "a1B2" * 9


def test_a_secret_is_in_no_finding_and_a_quotation_without_it_still_counts() -> None:
    files = {"src/a.py": ["", f'TOKEN = "{SECRET}"']}
    finding = replace(SHELL, line=2, evidence=f'TOKEN = "{SECRET}"', title=f"A token: {SECRET}", detail=SECRET)

    def found(one):
        return coordinate([one], MATERIAL, files.get, Redactor())

    kept, dropped = found(finding)
    masked, _ = found(replace(finding, evidence='TOKEN = "***"'))

    assert SECRET not in repr((kept, dropped))
    assert kept
    assert masked
    assert kept[0].id == masked[0].id


def test_what_an_agent_quotes_from_a_private_key_is_left_out() -> None:
    body = [
        "-----BEGIN PRIVATE KEY-----",
        "MIIEowIBAAKCAQEAx3aB3/",
        "aB3/MIIEowIBAAKCAQEAx3",
        "-----END PRIVATE KEY-----",
    ]
    quoted = replace(AGENT, line=3, evidence=body[2])

    kept, _ = coordinate([quoted], MATERIAL, lambda path: body, Redactor())

    assert [(each.line, each.evidence) for each in kept] == [(3, "")]


def test_an_id_gives_no_secret_away() -> None:
    def id_with(token: str) -> str:
        files = {"src/a.py": ["", f'TOKEN = "{token}"']}
        finding = replace(SHELL, line=2, evidence="TOKEN")
        return coordinate([finding], MATERIAL, files.get, Redactor())[0][0].id

    assert id_with(SECRET) == id_with("ghp_" + "z9Y8" * 9)


def test_two_alike_lines_far_apart_are_two_findings_with_ids_of_their_own() -> None:
    alike = replace(SHELL, evidence="pass", line=8)

    kept, _ = settle(alike, replace(alike, line=20))

    assert len({finding.id for finding in kept}) == 2


REPORTS = st.builds(
    Finding,
    rule=st.sampled_from([*RULES, "HUNCH"]),
    severity=st.sampled_from(Severity),
    path=st.sampled_from([*FILES, "src/c.py", ""]),
    line=st.integers(-1, 27),
    title=st.sampled_from(["A shell call", "The shell is called", "Unused", "x" * 121]),
    detail=st.sampled_from(["Do not call it.", "", "The shell runs os.system"]),
    impact=st.sampled_from(["", "Somebody else's command."]),
    evidence=st.sampled_from(["", "pass", "os.system"]),
    symbol=st.sampled_from(["", "run"]),
    brief_ref=st.sampled_from(["NFR-baseline", "SC-1"]),
    reporters=st.sampled_from([("rules",), ("agent:a",), ("agent:b",)]),
)


@given(st.lists(REPORTS, max_size=25), st.randoms(use_true_random=False))
def test_every_finding_is_kept_or_dropped_in_any_order_and_a_second_time_changes_nothing(
    findings: list[Finding], random: Random
) -> None:
    shuffled = random.sample(findings, len(findings))

    kept, dropped = settle(*findings)

    assert len(kept) + len(dropped) == len(findings)
    assert (kept, dropped) == settle(*shuffled)
    assert settle(*kept) == (kept, ())
    assert all(finding.id.startswith("f-") and len(finding.id) == 18 for finding in kept)
    assert len({finding.id for finding in kept}) == len(kept)
