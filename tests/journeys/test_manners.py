"""How output behaves: on a pipe, on a terminal, without colour, in a poor locale."""

from __future__ import annotations

import json
import re
import subprocess

from tests.journeys.site import MUSTER, PATIENCE_S, Site, adds, plan, task

ESCAPE = "\x1b"


def test_output_on_a_pipe_has_no_codes_and_quiet_has_no_output(site: Site) -> None:
    site.plan(adds("one"), task("bad", "exit 3", on_failure="continue", changes="any"))

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open")
    quiet = site.muster("run", "--plan", "plan.md", "--gates", "open", "--quiet")

    assert ran.code == quiet.code == 1
    assert (quiet.out, quiet.err) == ("", "")
    for args in (["ls"], ["show"], ["events"], ["report"], ["doctor"], ["plan", "show"], ["--help"]):
        shown = site.muster(*args)
        assert ESCAPE not in shown.out + shown.err, args
        assert "\r" not in shown.out
    assert ESCAPE not in ran.out


def test_every_json_object_says_the_version_of_its_schema(site: Site) -> None:
    site.plan(adds("one"))
    site.muster("run", "--plan", "plan.md", "--gates", "open", "-q")

    for args in (["ls"], ["show"], ["inbox"], ["ps"], ["gc"], ["version"], ["doctor"], ["salvage", "ls"], ["init"]):
        assert site.muster(*args, "--json").json["schema"] == 1, args


def test_a_terminal_gets_what_is_long_in_short_and_a_pipe_gets_all(site: Site) -> None:
    site.plan(adds("one"))
    run = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json").json["run"]

    events, report = site.terminal("events", env={"COLUMNS": "80"}), site.terminal("diagnose")

    assert (events.end(), report.end()) == (0, 0)
    assert {len(line) > 80 for line in events.screen.splitlines()} == {False}
    assert any(len(line) > 80 for line in site.muster("events").out.splitlines())
    assert report.screen.startswith(f"run      {run}  complete")
    assert "muster diagnose @last --out" in report.screen
    assert site.muster("diagnose").json["run"] == run


def test_a_terminal_shows_how_things_went_in_colour_unless_it_wants_none(site: Site) -> None:
    site.plan(adds("one"), task("bad", "exit 3", changes="any"))

    def screen(**env: str) -> str:
        terminal = site.terminal("run", "--plan", "plan.md", "--gates", "open", env=env)
        assert terminal.end() == 1
        shown = site.terminal("show", env=env)
        assert shown.end() == 0
        return terminal.screen + shown.screen

    colourful = screen()

    assert colourful.count(f"{ESCAPE}[31m  x bad") == 2
    assert f"{ESCAPE}[32m  + one" in colourful
    assert ESCAPE + "[3" not in screen(NO_COLOR="1") + screen(TERM="dumb")


def test_a_finding_is_broken_between_words_and_its_cure_is_not_broken(site: Site) -> None:
    narrow = {"PATH": "/usr/bin:/bin", "COLUMNS": "60", "TERM": "dumb"}
    terminal = site.terminal("doctor", env=narrow)
    terminal.end()

    lines = terminal.screen.splitlines()
    said = next(place for place, line in enumerate(lines) if line.startswith("warn  agents"))
    assert lines[said : said + 2] == [
        "warn  agents       No coding agent is installed. Command",
        "                   tasks work without one; to begin with,",
    ]
    assert " " * 19 + "npm install -g @anthropic-ai/claude-code" in lines


def test_what_a_row_is_called_is_never_broken_over_lines(site: Site) -> None:
    site.write({"plan.md": plan(adds("one")).replace("# A journey", f"# A {'very ' * 20}long journey")})
    run = site.muster("run", "--plan", "plan.md", "--gates", "open", "--json").json["run"]

    listed = site.terminal("ls", env={"COLUMNS": "60"})

    assert listed.end() == 0
    assert run in listed.screen
    assert max(len(re.sub(r"\x1b\[[\d;]*m", "", line)) for line in listed.screen.splitlines()) <= 60


def test_a_reader_that_goes_away_is_no_failure(site: Site) -> None:
    site.plan(*(adds(f"t{number}") for number in range(6)))
    site.muster("run", "--plan", "plan.md", "--gates", "open", "-q")

    for command in (["events", "--jsonl"], ["events", "--follow"], ["diff"], ["--help"]):
        process = subprocess.Popen(
            [*MUSTER, *command], cwd=site.top, env=site.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
        process.stderr.close()

        assert (process.wait(), said) == (0, ""), command


def test_a_run_goes_on_when_nobody_reads_its_output(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("slow", f"{meeting.command}; echo x > x.txt"), adds("after", needs=["slow"]))
    running = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    assert running.process.stdout is not None
    running.process.stdout.close()
    meeting.leave()

    assert running.process.wait(PATIENCE_S) == 0
    assert site.tree() == ["a.txt", "after.txt", "b.txt", "x.txt"]


def test_words_of_every_script_go_through_a_poor_locale(site: Site) -> None:
    site.plan(adds("one", title="Grüße ✓ 你好 \u202e"))
    poor = {"LANG": "C", "LC_ALL": "C"}

    ran = site.muster("run", "--plan", "plan.md", "--gates", "open", env=poor)
    shown = site.muster("show", env=poor)
    seen = site.terminal("show", env=poor)

    assert (ran.code, shown.code, seen.end()) == (0, 0, 0)
    assert "Grüße ✓ 你好" in json.dumps(site.show(), ensure_ascii=False)
    assert "Grüße ✓ 你好" in site.git("log", "--format=%s")
    ascii_only = {**poor, "PYTHONIOENCODING": "ascii"}
    assert site.muster("show", env=ascii_only).code == 0
    assert site.muster("ls", env=ascii_only).code == 0


def test_a_task_cannot_make_the_terminal_obey_it(site: Site) -> None:
    evil = "printf '\\033]0;owned\\007\\033[2Jgone\\r' >&2; exit 1"
    site.plan(
        task("fails", evil, on_failure="continue"),
        task("checked", "echo x > x.txt", verify=["printf '\\033[2Jgone'; false"], on_failure="continue"),
    )

    said = [site.muster("run", "--plan", "plan.md", "--gates", "open").out]
    said += [site.muster(*words).out for words in (["show"], ["dead", "ls"], ["dead", "show", "fails"], ["report"])]

    assert "gone" in said[0]
    assert [text for text in said if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)] == []
