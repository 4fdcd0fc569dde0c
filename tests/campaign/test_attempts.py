"""Attempts that fail, lie, babble or say nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from tests.campaign.support import OPEN, announced, played, starts, statuses, traced
from tests.journeys.site import Site, adds, task


@pytest.mark.parametrize(
    "shape",
    [
        "single task",
        pytest.param("last task", marks=pytest.mark.campaign),
        pytest.param("among others", marks=pytest.mark.campaign),
        "killed by a signal",
    ],
)
def test_mode_01_every_start_is_an_attempt_and_only_the_exhausted_become_dead_letters(site: Site, shape: str) -> None:
    """Tasks fail once, fail for good, or die of a signal.

    Work: what was done is merged; the unfinished work of each failed attempt is salvaged.
    Processes: as many were started as attempts stand in the journal, none more.
    Money: nothing is spent on a task after its last attempt.
    """
    ends = "kill -9 $$" if shape == "killed by a signal" else "exit 3"
    doomed = traced(site, "doomed", f"echo half > half.txt; {ends}", attempts=2, on_failure="continue")
    flaky = traced(site, "flaky", 'test "$MUSTER_ATTEMPT_NUMBER" = 2 && echo x > flaky.txt', attempts=3)
    good = traced(site, "good", "echo x > good.txt")
    many = {"single task": [doomed], "last task": [good, flaky, doomed]}.get(shape, [doomed, flaky, good])
    site.plan(*many)

    ran = site.muster(*OPEN)

    assert ran.code == 1
    assert Counter(starts(site)) == Counter(announced(site))
    assert Counter(starts(site)).most_common(1)[0][1] == 1
    assert [one["task"] for one in site.of("deadletter.added")] == ["doomed"]
    # Whoever dies of a signal is not tried again without being asked.
    again = [] if shape == "killed by a signal" else ["doomed:2"]
    assert [word for word in starts(site) if word.startswith("doomed")] == ["doomed:1", *again]
    assert len(site.muster("salvage", "ls", "--json").json["salvage"]) >= 1


@pytest.mark.campaign
@pytest.mark.timeout(300)
def test_mode_02_two_hundred_instant_tasks_on_a_busy_machine_all_succeed(site: Site) -> None:
    """Two hundred tasks that end at once, eight at a time, while other programs use every processor.

    Work: all of it is merged.
    Processes: each ends and is reaped; none fails for a reason of ours.
    Money: each is started once.
    """
    site.plan(*[task(f"T{number}", "true", changes="any") for number in range(200)])
    burn = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        running = site.start(*OPEN, "--max-parallel", "8", "--json")
        ended = running.process.communicate(timeout=250)
    finally:
        for process in burn:
            process.kill()
            process.wait()

    assert running.process.returncode == 0, ended
    assert set(statuses(site).values()) == {"done"}
    assert len(announced(site)) == 200


BABBLE = {
    "reads its input": ("- read_stdin:\n", "done"),
    "closes its output early": ("- close_stdout:\n", "failed"),
    "lingers in a daemon": ("- daemon: {seconds: 600}\n", "done"),
    "writes no text": ("- garbage: {bytes: 300000}\n- say: end of line\n", "done"),
    "writes a line of ten megabytes": ("- flood: {bytes: 10000000}\n- say: end of line\n", "done"),
    "never ends its last line": ("- flood: {bytes: 100000}\n", "failed"),
    "writes half an object": ('- run: \'printf "{\\"type\\": " >&1\'\n', "done"),
    "dies of SIGTERM": ("- crash: {signal: TERM}\n", "cancelled"),
}


def test_mode_15_bad_manners_of_agents_neither_hang_nor_fool_the_run(site: Site) -> None:
    """Agents close their output, flood it, write no text, leave daemons, or die after their work.

    Work: it is judged by what is in the worktree and by a positive end, never by the noise.
    Processes: whatever lingers is swept.
    Money: usage that was told before the noise is kept.
    """
    told = "- usage: {input: 7, output: 3}\n- write: {path: PATH, text: x}\n"
    site.plan(
        *(
            played(f"M{number}", told.replace("PATH", f"M{number}.txt") + script, on_failure="continue")
            for number, (script, _) in enumerate(BABBLE.values())
        )
    )

    site.muster(*OPEN, "--max-parallel", "8")

    found = statuses(site)
    assert {manner: found[f"M{number}"] for number, manner in enumerate(BABBLE)} == {
        manner: status for manner, (_, status) in BABBLE.items()
    }
    used = [one["outcome"]["usage"] for one in site.of("task.attempt_ended")]
    assert {(one["input"], one["output"]) for one in used} == {(7, 3)}


def test_mode_16_success_with_nothing_to_show_is_an_empty_result(site: Site) -> None:
    """Commands and agents exit with 0 and left nothing, or nothing but noise.

    Work: the task is not done; there is nothing to merge.
    Processes: all have ended by themselves.
    Money: what they used counts.
    """
    site.plan(
        task("silent", "true", on_failure="continue"),
        task("noisy", "echo all done; echo great success >&2", on_failure="continue"),
        played("talker", "- say: I have done everything.\n", on_failure="continue"),
        task("toucher", "touch -c a.txt", on_failure="continue"),
    )

    assert site.muster(*OPEN).code == 1

    assert set(statuses(site).values()) == {"failed"}
    assert {one["failure"]["cause"] for one in site.of("task.audited")} == {"empty-result"}
    assert site.tree() == ["a.txt", "b.txt"]


def test_mode_17_a_change_that_is_not_there_is_not_done_and_one_that_is_gets_merged(site: Site) -> None:
    """One agent claims a change that it did not make; another says nothing of the one that it made.

    Work: the claimed one is refused, the silent one is committed for the agent and merged.
    Processes: none is left.
    Money: both are charged what they used.
    """
    site.plan(
        played("claims", "- say: Wrote claimed.txt and ran the tests.\n", on_failure="continue"),
        played("silent", "- write: {path: silent.txt, text: here}\n"),
    )

    assert site.muster(*OPEN).code == 1

    assert statuses(site) == {"claims": "failed", "silent": "done"}
    assert site.tree() == ["a.txt", "b.txt", "silent.txt"]


WEIRD = "Say 'yes' & \"no\" $HOME `id` \\ \t%s\r\nünïcode \U0001f980 \u202e\n\n---\n  trailing  \n"
RECORDER = """\
import json, pathlib, sys
pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())
pathlib.Path("x.txt").write_text("x")
for line in (
    {"type": "system", "subtype": "init", "session_id": "s", "model": "m"},
    {"type": "result", "subtype": "success", "is_error": False, "result": "ok", "session_id": "s", "usage": {}},
):
    print(json.dumps(line), flush=True)
"""


def test_mode_20_a_prompt_reaches_the_agent_byte_for_byte(site: Site) -> None:
    """A prompt is full of quotes, escapes, directions, line ends and other scripts.

    Work: the agent reads exactly what the person wrote, first of all, on its standard input.
    Processes: no shell comes between; nothing of the prompt shows in `ps`.
    Money: one start.
    """
    (site.root / "recorder.py").write_text(RECORDER)
    heard = site.root / "heard"
    command = [sys.executable, str(site.root / "recorder.py"), str(heard)]
    site.write({"muster.toml": f'[agents.recorder]\ndialect = "claude"\ncommand = {command!r}\n'.replace("'", '"')})
    site.git("add", "muster.toml")
    site.git("commit", "-qm", "Settings")
    assert site.muster("trust").code == 0
    text = task("T1", "", agent="recorder", prompt="PROMPT").replace('run: ""\n', "")
    site.plan(text.replace('"PROMPT"', json.dumps(WEIRD, ensure_ascii=False)))

    ran = site.muster(*OPEN)

    assert ran.code == 0, ran
    assert heard.read_bytes().startswith(WEIRD.encode())


LIES = {
    "no change at all": ("- say: All tests pass.\n", {}),
    "another file": ("- write: {path: other.txt, text: x}\n", {"expected_paths": ["x.txt"]}),
    "an empty promise": ("- write: {path: x.txt, text: ''}\n", {"must_contain": [{"path": "x.txt", "text": "def f"}]}),
    "a comment instead": (
        "- write: {path: x.py, text: '# def f'}\n",
        {"must_contain": [{"path": "x.py", "text": "def f():"}]},
    ),
    "tests that fail": ("- write: {path: x.txt, text: x}\n", {"verify": ["false"]}),
    "tests that it deleted": ("- delete: b.txt\n", {"verify": ["test -f b.txt"]}),
    "a forbidden place": ("- write: {path: keep/x.txt, text: x}\n", {"forbidden_paths": ["keep/**"]}),
    "an exit code": ("- write: {path: x.txt, text: x}\n- exit: 3\n", {}),
    "a signal": ("- write: {path: x.txt, text: x}\n- crash: {signal: KILL}\n", {}),
    "no result": ("- write: {path: x.txt, text: x}\n- exit: {code: 0, result: false}\n", {}),
    "a commit of nothing": ("- run: git commit -q --allow-empty -m done\n", {}),
    "a message of another kind": (
        "- write: {path: x.txt, text: x}\n- commit: did it\n",
        {"commit_message_pattern": "^feat\\("},
    ),
    "an ignored file": (
        "- write: {path: .gitignore, text: 'x.txt'}\n- write: {path: x.txt, text: x}\n",
        {"expected_paths": ["x.txt"]},
    ),
    "a link": ("- run: ln -s /etc/hostname x.txt\n", {"must_contain": [{"path": "x.txt", "text": "feature"}]}),
    "a file outside": ("- run: echo x > ../outside.txt\n", {}),
    "a rename": ("- run: git mv a.txt moved.txt\n", {"expected_paths": ["a.txt"]}),
    "work undone again": ("- write: {path: x.txt, text: x}\n- delete: x.txt\n", {}),
    "a mode change only": ("- run: chmod +x a.txt\n", {"must_contain": [{"path": "a.txt", "text": "new"}]}),
    "a repository inside": ("- run: git init -q sub && echo x > sub/x.txt\n", {"expected_paths": ["sub/x.txt"]}),
    "tests that pass in the wrong folder": (
        "- write: {path: deep/x.txt, text: x}\n",
        {"verify": ["test -f x.txt"]},
    ),
}


def test_mode_25_an_agent_that_lies_in_twenty_ways_is_never_done(site: Site) -> None:
    """Twenty agents say that all tests pass, and each of them left something else out.

    Work: none of it is merged; all of it is salvaged or reachable by its attempt's ref.
    Processes: none is left.
    Money: a lie costs what it used and no more.
    """
    assert len(LIES) == 20
    tasks = [
        played(f"L{number}", f"- say: Done. All tests pass.\n{script}", on_failure="continue", **manifest)
        for number, (script, manifest) in enumerate(LIES.values())
    ]
    site.plan(*tasks, adds("honest"))

    assert site.muster(*OPEN, "--max-parallel", "8").code == 1

    believed = [
        list(LIES)[int(name[1:])] for name, status in statuses(site).items() if status == "done" and name[0] == "L"
    ]
    assert believed == []
    assert site.tree() == ["a.txt", "b.txt", "honest.txt"]
