"""Tasks that were given up: found, shown, tried again, put aside; and who is told of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

from tests.journeys.site import Site, adds, task

FAILS_ONCE = 'if [ -e "$HOME/mended" ]; then echo done > late.txt; else echo half > half.txt; exit 3; fi'


def notices(site: Site) -> list[dict[str, Any]]:
    """What the file of notifications holds."""
    path = site.top / ".muster/state/notifications.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def mend(site: Site) -> None:
    (site.home / "mended").touch()


def letters(site: Site, *args: str) -> list[tuple[str, str, str]]:
    rows = site.muster("dead", "ls", "--json", *args).json["dead_letters"]
    return [(row["task"], row["reason"], row["status"]) for row in rows]


def settings(site: Site, text: str) -> None:
    folder = site.home / ".config/muster"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(text)


def test_a_task_whose_attempts_are_used_up_is_shown_with_all_of_them_and_tried_again_in_a_new_run(site: Site) -> None:
    site.plan(adds("A"), task("B", FAILS_ONCE, attempts=2))
    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 1

    shown = site.muster("dead", "show", "B", "--json").json
    assert [attempt["exit_code"] for attempt in shown["task"]["attempts"]] == [3, 3]
    assert (shown["attempts"], shown["reason"], shown["cause"]) == (2, "max-retries", "exit")
    assert "half.txt" in site.git("show", "--stat", shown["salvage"])
    waiting = site.muster("inbox").out
    assert f"muster dead requeue {shown['id']}" in waiting
    mend(site)

    again = site.muster("dead", "requeue", "B", "--no-input", "--json")

    assert (again.code, again.json["status"], again.json["continues"]) == (0, "complete", shown["run"])
    assert "late.txt" in site.tree()
    assert letters(site) == []
    assert letters(site, "--all") == [("B", "max-retries", "requeued")]
    assert [data["task"] for data in site.of("deadletter.requeued", shown["run"])] == ["B"]
    assert site.of("plan.accepted")[0]["failures"]["B"]["message"].startswith("exit code 3")
    assert site.muster("inbox").out == "Nothing waits for you.\n"
    assert site.muster("dead", "requeue", "B").code == 6


def test_a_given_up_task_of_a_run_that_goes_on_gets_one_more_attempt_there(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("A", meeting.command, changes="none"), task("B", FAILS_ONCE, on_failure="skip-dependents"))
    run = site.start("run", "--plan", "plan.md", "--gates", "open", "--json")
    meeting.reached()
    site.wait_for("deadletter.added", task="B")
    mend(site)

    assert site.muster("dead", "requeue", "B").out.endswith("/B gets one more attempt.\n")
    site.wait_for("task.succeeded", task="B")
    meeting.leave()
    view = run.end().json

    assert view["status"] == "complete"
    attempts = {entry["id"]: [attempt["attempt"] for attempt in entry["attempts"]] for entry in view["tasks"]}
    assert attempts == {"A": [1], "B": [1, 2]}
    assert "late.txt" in site.tree()
    assert letters(site, "--all") == [("B", "max-retries", "requeued")]


def test_a_dropped_task_is_left_out_when_the_rest_goes_on(site: Site) -> None:
    site.plan(task("A", "exit 3"), adds("B", needs=["A"]))
    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 1

    assert site.muster("dead", "drop", "A", "-m", "done by hand").code == 0
    assert letters(site) == []
    assert site.of("deadletter.dropped")[0]["why"] == "done by hand"
    assert site.muster("dead", "requeue", "A").err.startswith("muster: ")
    again = site.muster("continue", "--no-input", "--json")

    assert (again.code, [entry["id"] for entry in again.json["tasks"]]) == (0, ["B"])


def test_a_task_that_a_person_stops_is_a_dead_letter_by_hand_of_which_nobody_is_told(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("A", meeting.command, on_failure="continue"), adds("B"))
    run = site.start("run", "--plan", "plan.md", "--gates", "open", "-q")
    meeting.reached()

    site.muster("stop", "@last/A")
    run.end()

    assert letters(site) == [("A", "manual", "open")]
    assert notices(site) == []
    assert "means no dead letter" in site.muster("dead", "show", "B").err


def test_people_are_told_once_of_each_thing_and_the_journal_knows_it(site: Site) -> None:
    site.plan(adds("A"), task("B", "echo no; exit 4", on_failure="skip-dependents"))
    assert site.muster("run", "--plan", "plan.md", "--no-input").code == 3
    assert site.muster("continue", "--no-input").code == 3

    told = notices(site)
    assert [(one["severity"], one["kind"]) for one in told] == [("error", "dead-letter"), ("warning", "gate")]
    assert [data["id"] for data in site.of("notification.sent")] == [one["id"] for one in told]
    assert (site.top / ".muster/state/notifications.jsonl").stat().st_mode & 0o777 == 0o600
    assert told[1]["answer"] == f"muster approve {told[1]['id']}"


def test_more_than_three_dead_letters_of_a_project_in_an_hour_raise_one_alarm_over_all_runs(site: Site) -> None:
    def fail(count: int) -> None:
        site.plan(*(task(f"T{number}", "exit 3", on_failure="continue") for number in range(count)))
        site.muster("run", "--plan", "plan.md", "--gates", "open", "-q")

    def alarms() -> list[str]:
        return [one["text"] for one in notices(site) if one["kind"] == "dead-letter-rate"]

    fail(3)
    assert alarms() == []
    fail(1)
    assert alarms() == ["4 tasks of this project were given up within an hour."]
    fail(2)
    assert len(alarms()) == 1


@contextmanager
def receiver(status: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on this machine that takes notifications."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_web_hook_gets_what_the_file_gets_and_one_that_fails_hurts_nothing(site: Site) -> None:
    site.plan(adds("A"))
    with receiver(204) as (url, got):
        settings(site, f'[notify]\nwebhook = "{url}"\nwebhook_allow_private = true\n')
        assert site.muster("run", "--plan", "plan.md", "--no-input").code == 3
        assert got == notices(site)
        assert site.of("notification.sent")[0]["sinks"] == ["jsonl", "webhook"]
    with receiver(500) as (url, _):
        settings(site, f'[notify]\njsonl = false\nwebhook = "{url}"\nwebhook_allow_private = true\n')
        assert site.muster("run", "--plan", "plan.md", "--no-input").code == 3
        sent = site.of("notification.sent")[0]
        assert ("sinks" not in sent, list(sent["failed"])) == (True, ["webhook"])


def test_a_project_file_may_not_send_notifications_anywhere_without_trust(site: Site) -> None:
    site.commit("Settings", {"muster.toml": '[notify]\nwebhook = "https://example.org/x"\n'})
    site.plan(adds("A"))

    ran = site.muster("run", "--plan", "plan.md", "--no-input")

    assert (ran.code, "notify.webhook" in ran.err) == (4, True)


def test_quiet_hours_hold_back_all_but_errors(site: Site) -> None:
    settings(site, '[notify]\nquiet_hours = "00:00-23:59"\n')
    site.plan(adds("A"), task("B", "exit 4", on_failure="skip-dependents"))

    site.muster("run", "--plan", "plan.md", "--no-input")

    assert [one["kind"] for one in notices(site)] == ["dead-letter"]


def test_the_inbox_asks_about_a_run_whose_owner_was_killed(site: Site) -> None:
    meeting = site.meeting()
    site.plan(task("A", meeting.command, changes="none"))
    run = site.start("run", "--plan", "plan.md", "--gates", "open")
    meeting.reached()
    assert site.muster("inbox").out == "Nothing waits for you.\n"
    run.kill()

    waiting = site.muster("inbox", "--json").json
    said = site.muster("inbox").out

    assert "1 task would restart. Resume?" in waiting["interrupted"][0]["question"]
    assert f"muster continue {waiting['interrupted'][0]['run']}" in said
    meeting.leave()
    assert site.muster("continue", "-y").code == 0
    assert site.muster("inbox").out == "Nothing waits for you.\n"


def test_an_agent_that_hangs_is_ended_as_dead_and_its_letter_says_why(site: Site) -> None:
    settings(
        site,
        "[run]\ngrace_s = 0.1\n[reliability]\nstall_timeout_s = 0\n"
        "[reliability.heartbeat]\ntick_s = 1\nwarn_s = 1\nstale_s = 1\ndead_s = 1\n",
    )
    prompt = "```yaml\nid: A\nagent: scripted\nattempts: 3\nprompt: |\n  - say: hello\n  - ignore_term\n  - hang\n```\n"
    site.plan(f"## A\n\n{prompt}")

    assert site.muster("run", "--plan", "plan.md", "--gates", "open").code == 1

    assert letters(site) == [("A", "heartbeat-dead", "open")]
    assert [data["after"] for data in site.of("heartbeat.level_changed")][-1] == "dead"
    lost = site.of("heartbeat.lost")[0]
    assert (lost["ticks"] >= 3, lost["evidence"]["process"]) == (True, "alive")
    assert len(site.of("task.attempt_started")) == 1
    told = [one["id"] for one in notices(site)]
    assert told[0] == f"dead_{site.show()['run']}_A"
    assert len(told) == len(set(told)) == 3
    assert site.left() == {}


def test_a_stop_wakes_a_task_that_waits_for_its_next_attempt(site: Site) -> None:
    settings(site, "[reliability]\nbackoff_ms = 60000\njitter_ratio = 0\n")
    site.plan(task("A", "exit 3", attempts=3))
    run = site.start("run", "--plan", "plan.md", "--gates", "open", "--json")
    site.wait_for("task.retry_scheduled")

    assert site.muster("stop", "@last", "--json").json["result"] == "cancelled"

    view = run.end().json
    assert (view["status"], len(view["tasks"][0]["attempts"])) == ("cancelled", 1)


def test_each_attempt_is_shown_with_its_times_cause_tokens_and_cost(site: Site) -> None:
    steps = ["  - usage: {input: 10, output: 5, cost_usd: 0.25}", "  - exit: {code: 1, class: server, message: busy}"]
    prompt = "\n".join(["```yaml", "id: A", "agent: scripted", "prompt: |", *steps, "```", ""])
    site.plan(f"## A\n\n{prompt}")

    site.muster("run", "--plan", "plan.md", "--gates", "open")

    (attempt,) = site.show()["tasks"][0]["attempts"]
    assert (attempt["cause"], attempt["error"], attempt["cost_usd"]) == ("server", "busy", 0.25)
    assert (attempt["tokens"]["input"], attempt["tokens"]["output"]) == (10, 5)
    assert attempt["started_at"] < attempt["ended_at"]
