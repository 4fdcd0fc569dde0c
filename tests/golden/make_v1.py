"""Add to journal-v1.jsonl what `STORY` has gained at its end; lines that are there never change.

The story holds every type of event at least once, and every field of it with a value that is not its default.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from muster.model.attempts import Cause, Ending, Failure, Outcome, Problem, Receipt, Usage
from muster.model.findings import Finding, Severity
from muster.model.gates import Answer, Autonomy, Boundary, Stage
from muster.model.journal import events as ev
from muster.model.journal.entries import Draft, Entry, event_types
from muster.model.plan import Changes, Contains, FileRef, Money, OnFailure, Task
from muster.model.policy import RetryPolicy, RunPolicy, Schedule
from muster.stores.rules import encode_drafts, head_after, seal

GOLDEN = Path(__file__).with_name("journal-v1.jsonl")
RUN = "01kdvd1c00mcs3w8k9gemjdtmd"
START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MAIN = "refs/heads/main"


def commit(number: int) -> str:
    return f"{number:040x}"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def receipt(exit_code: int, tree: int) -> Receipt:
    tail = "é ☃ \U0001f600 \x00 \u2028\n" if exit_code == 0 else "1 failed\n"
    return Receipt(
        command='pytest -q "tests/a b"',
        exit_code=exit_code,
        tree=commit(tree),
        environment="0123456789ab",
        duration_ms=1234,
        tail=tail,
    )


def failure(cause: Cause, message: str = "It did not work.") -> Failure:
    return Failure(cause=cause, message=message, retry_after_s=1.5, files=("src/a.py", "naïve name.txt"))


def outcome(ending: Ending, **more: object) -> Outcome:
    file = FileRef(path="T1/1/stdout", size=70_000, sha256="ab" * 32)
    usage = Usage(
        input=1, cache_read=2, cache_write=3, output=4, reasoning=5, cost_usd=0.25, cost_source="agent", model="opus"
    )
    rest = {"usage": usage, "session": "s-1", "duration_ms": 90_000, "transcript": file, "errors": file, **more}
    return msgspec.convert({"ending": ending, **rest}, Outcome)


POLICY = RunPolicy(
    autonomy=Autonomy.CLOSED,
    schedule=Schedule.EAGER,
    max_parallel=2,
    retry=RetryPolicy(
        auto_retry=True,
        max_attempts=5,
        backoff_ms=500,
        jitter_ratio=0.5,
        exponential_factor=1.5,
        cap_ms=60_000,
        retryable=("rate_*",),
        non_retryable=("auth",),
    ),
    grace_s=2.5,
    profile="balanced",
    profile_source="flag",
    phase_models={"execute": "sonnet", "plan": "opus"},
    default_agent="scripted",
    env_allow=("LANG",),
    worktree_link=("node_modules",),
    worktree_copy=(".env",),
    run_hooks=True,
    keep_raw=True,
)
FULL_TASK = Task(
    id="T1",
    title="Rate-limit the login",
    needs=("T0",),
    agent="executor",
    prompt="Do it.\n\tExactly so.\r\n",
    prompt_ref=FileRef(path="T1/prompt", size=3, sha256="cd" * 32),
    prose="Because of bots.",
    expected_paths=("src/limit.py", "tests/**"),
    forbidden_paths=("migrations/**",),
    must_contain=(Contains(path="src/limit.py", text="def allow("),),
    changes=Changes.ANY,
    verify=('pytest -q "tests/a b"',),
    commit_message_pattern="^feat",
    timeout_s=60.0,
    attempts=4,
    on_failure=OnFailure.SKIP_DEPENDENTS,
    profile_used="premium",
    max_cost=Money(usd=2.0),
    line=7,
)

STORY: list[ev.Event] = [
    ev.RunStateChanged(
        state="start",
        run_id=RUN,
        session_id="session",
        channel="web",
        backend="local",
        duration_ms=1,
        reason="asked",
        source="operator",
        requested=at(-1),
    ),
    ev.ConfigResolved(values={"run.gates": "closed"}, sources={"run.gates": "flag"}),
    ev.PhaseStarted(phase="plan"),
    ev.PhaseFinished(
        phase="plan",
        profile="balanced",
        profile_source="flag",
        phase_models={"plan": "opus"},
        phase_models_resolved={"plan": "opus-4"},
        model_used="opus-4",
    ),
    ev.PlanAccepted(
        slug="login",
        plan_sha256="ef" * 32,
        base=commit(1),
        start=commit(2),
        target=MAIN,
        policy=POLICY,
        source="plan.md",
        title="Safer login",
        prefix="web/",
        start_tree=commit(3),
        continues="01kdvd1c00000000000000000",
        done=("T0",),
    ),
    ev.TaskPlanned(task=Task(id="T0", run="true", changes=Changes.NONE)),
    ev.TaskPlanned(task=FULL_TASK),
    ev.TaskPlanned(task=Task(id="T2", run="make codegen", on_failure=OnFailure.CONTINUE)),
    ev.TaskPlanned(task=Task(id="T3", run="make docs", needs=("T2",))),
    ev.AutonomyTransition(before=Stage.IDLE, after=Stage.APPROVED, by="policy", why="open"),
    ev.GatePassed(boundary=Boundary.PLAN_READY, subject="plan", by="policy open"),
    ev.AutonomyTransition(before=Stage.APPROVED, after=Stage.EXECUTING, by="policy"),
    ev.TaskQueued(wave=1, tasks=("T0", "T2")),
    ev.AttemptStarted(task="T0", attempt=1, base=commit(2)),
    ev.AttemptEnded(task="T0", attempt=1, outcome=outcome(Ending.OK, exit_code=0)),
    ev.TaskAudited(task="T0", attempt=1, ok=True, commit=commit(2), tree=commit(3)),
    ev.TaskSucceeded(task="T0"),
    ev.TaskQueued(wave=2, tasks=("T1",)),
    ev.AttemptStarted(task="T1", attempt=1, base=commit(2), agent="claude-code", model="opus-4"),
    ev.AgentUsed(task="T1", attempt=1, input=10, output=20, cost_usd=0.125, model="opus-4"),
    ev.AgentSaid(task="T1", attempt=1, text="Naïve ☃ \U0001f600 \x00 \u2028 text"),
    ev.ToolCalled(task="T1", attempt=1, tool="edit", ok=False),
    ev.AttemptEnded(
        task="T1",
        attempt=1,
        outcome=outcome(Ending.ERROR, exit_code=1, signal=15, failure=failure(Cause.EXIT), swept=(4711,)),
    ),
    ev.RetryScheduled(task="T1", attempt=2, due=at(60), delay_ms=1000, failure=failure(Cause.EXIT)),
    ev.AttemptStarted(task="T1", attempt=2, base=commit(2), agent="claude-code", model="opus-4"),
    ev.AttemptEnded(task="T1", attempt=2, outcome=outcome(Ending.OK, exit_code=0)),
    ev.TaskAudited(
        task="T1",
        attempt=2,
        ok=False,
        commit=commit(4),
        tree=commit(5),
        changed=True,
        paths=("src/limit.py",),
        path_count=1,
        receipts=(receipt(1, 5),),
        problems=(Problem(rule="expected-path", message="It is missing.", path="tests/**"),),
        failure=failure(Cause.AUDIT),
    ),
    ev.GateAsked(
        gate="G1",
        boundary=Boundary.MANIFEST_AUDIT_FAILED,
        question="Try once more?",
        subject="T1",
        detail="It is missing.",
    ),
    ev.RunReleased(reason="waiting"),
    ev.RunResumed(from_seq=29, reason="interrupted"),
    ev.GateAnswered(gate="G1", answer=Answer.APPROVE, by="alice", why="Looks close."),
    ev.AttemptStarted(task="T1", attempt=3, base=commit(2)),
    ev.AttemptEnded(task="T1", attempt=3, outcome=outcome(Ending.OK, exit_code=0)),
    ev.TaskAudited(task="T1", attempt=3, ok=True, commit=commit(6), tree=commit(7), changed=True),
    ev.TaskMergeFailed(
        task="T1", attempt=3, onto=commit(2), failure=failure(Cause.BROKE_INTEGRATION), receipts=(receipt(1, 8),)
    ),
    ev.AttemptStarted(task="T1", attempt=4, base=commit(2)),
    ev.AttemptEnded(task="T1", attempt=4, outcome=outcome(Ending.OK, exit_code=0)),
    ev.TaskAudited(task="T1", attempt=4, ok=True, commit=commit(9), tree=commit(10), changed=True),
    ev.TaskMerged(task="T1", attempt=4, commit=commit(11), tree=commit(10), onto=commit(2), receipts=(receipt(0, 10),)),
    ev.TaskSucceeded(task="T1"),
    ev.AttemptStarted(task="T2", attempt=1, base=commit(2)),
    ev.TaskCancelRequested(task="T2", source="operator", requested=at(100)),
    ev.AttemptEnded(task="T2", attempt=1, outcome=outcome(Ending.CANCELLED, signal=15)),
    ev.ProcessSwept(task="T2", attempt=1, pids=(4712, 4713)),
    ev.WorkSalvaged(
        task="T2", attempt=1, ref=f"refs/muster/salvage/{RUN}/T2/1", commit=commit(12), kept="worktrees/T2"
    ),
    ev.TaskFailed(task="T2", failure=failure(Cause.CANCELLED)),
    ev.DeadLetterAdded(
        task="T2",
        reason="manual",
        attempts=1,
        failure=failure(Cause.CANCELLED),
        salvage=f"refs/muster/salvage/{RUN}/T2/1",
    ),
    ev.TaskSkipped(task="T3", reason="T2 failed"),
    ev.WaveFinished(wave=2, ok=True, tree=commit(10), receipts=(receipt(0, 10),)),
    ev.AutonomyTransition(before=Stage.EXECUTING, after=Stage.MERGE_PENDING, by="policy"),
    ev.GateAsked(gate="G2", boundary=Boundary.MAIN_MERGE, question="Merge into main?", subject=MAIN),
    ev.CommandRefused(message="01m", kind="answer", reason="There is no gate G9."),
    ev.GateAnswered(gate="G2", answer=Answer.APPROVE, by="alice"),
    ev.MainMergeStarted(target=MAIN, before=commit(1), commit=commit(13), receipts=(receipt(0, 10),)),
    ev.MainMergeBlocked(target=MAIN, reason="README.md has changes.", hint="git commit"),
    ev.MainMergeStarted(target=MAIN, before=commit(1), commit=commit(13)),
    ev.MainMerged(target=MAIN, before=commit(1), commit=commit(13)),
    ev.AutonomyTransition(before=Stage.MERGE_PENDING, after=Stage.MAIN_MERGED, by="alice"),
    ev.RunStateChanged(state="complete", run_id=RUN, duration_ms=120_000),
    ev.MainUndone(target=MAIN, before=commit(13), after=commit(1), by="alice"),
    ev.RunCancelled(source="operator", requested=at(150), acknowledged=at(151), latency_ms=1000, partial=("T2",)),
    ev.UnknownEvent(type="moon.landed", data={"crew": ["a", "b"], "deep": {"x": None, "y": 1.5}}),
    ev.UnknownEvent(type="task.succeeded", data={"mood": "of a later release", "task": "T1"}),
    ev.PlanAccepted(
        slug="login",
        plan_sha256="ef" * 32,
        base=commit(1),
        start=commit(2),
        target=MAIN,
        policy=POLICY,
        profile="economy",
    ),
    ev.HeartbeatLevelChanged(
        task="T2", attempt=2, before="healthy", after="warn", elapsed_ms=30_000, evidence={"cpu": "idle"}
    ),
    ev.DeadLetterRequeued(task="T2", by="alice"),
    ev.DeadLetterDropped(task="T2", by="alice", why="done by hand"),
    ev.BudgetReserved(task="T1", attempt=1, cost_usd=0.5, tokens=1000, basis="p90"),
    ev.BudgetSettled(task="T1", attempt=1, cost_usd=0.25, tokens=900),
    ev.BudgetExceeded(scope="run", level="warn", unit="usd", limit=5.0, spent=4.0, reserved=0.5),
    ev.PermissionAsked(task="T1", attempt=1, tool="shell", decision="deny", policy="edit"),
    ev.ReviewFinished(
        slug="login",
        verdict="WARN",
        counts={"BLOCKER": 0, "MAJOR": 1},
        reviewed_files_count=3,
        mode="quick",
        duration_ms=40,
        round=2,
        commit=commit(13),
    ),
    ev.NotificationSent(id="dead_run_T2", severity="error", kind="heartbeat", text="T2 is silent.", sinks=("jsonl",)),
    ev.ExportFailed(exporter="otlp", reason="HTTP 503", failures=2),
    ev.ReactionMatched(rule_name="fix-red-ci", channel="github", sender="ci", filter_summary="conclusion=failure"),
    ev.ReactionSkipped(reason="no_rule", candidate_count=2),
    ev.SessionOpened(task="T2", attempt=2, session="0198c0de"),
    ev.AttemptStarted(task="T2", attempt=3, base=commit(1), agent="claude", session="0198c0de"),
    ev.AgentUsed(task="T1", attempt=1, input=10, output=5, cost_usd=0.01, model="opus", cache_write=300),
    ev.BudgetLimitSet(scope="run", unit="usd", limit=10.0, by="alice"),
    ev.HeartbeatLost(task="T2", attempt=2, ticks=3, elapsed_ms=370_000, evidence={"cpu_s": "0.4", "processes": "2"}),
    ev.PlanAccepted(
        slug="login",
        plan_sha256="ef" * 32,
        base=commit(1),
        start=commit(2),
        target=MAIN,
        policy=POLICY,
        continues=RUN,
        done=("T1",),
        failures={"T2": failure(Cause.STALLED)},
    ),
    ev.PlanAccepted(
        slug="login",
        plan_sha256="e" * 64,
        base=commit(1),
        start=commit(1),
        target=MAIN,
        policy=POLICY,
        workflow="fast-fix",
        brief=FileRef(path="brief.md", size=20, sha256="f" * 64),
    ),
    ev.AttemptStarted(task="T1", attempt=9, base=commit(1), agent="codex:gpt@high", model="gpt", effort="high"),
    ev.NotificationSent(
        id="G3",
        severity="warning",
        kind="gate",
        text="Merge into main?",
        sinks=("jsonl",),
        failed={"webhook": "example.org: HTTP 503."},
    ),
    ev.ReviewFinished(
        slug="login",
        verdict="BLOCK",
        counts={"BLOCKER": 1},
        commit=commit(13),
        findings=(
            Finding(
                rule="SECURITY_INJECTION",
                severity=Severity.BLOCKER,
                path="src/login.py",
                line=4,
                title="A parameter reaches the shell",
                detail="Pass a list.",
                id="f-00000000000000a1",
            ),
        ),
        known=("f-00000000000000a1",),
    ),
    ev.TaskTold(task="T2", text="Use the other table.", by="alice"),
    ev.PlanAccepted(
        slug="login",
        plan_sha256="e" * 64,
        base=commit(13),
        review_base=commit(1),
        start=commit(13),
        target=MAIN,
        policy=POLICY,
        continues=RUN,
    ),
    ev.ReviewFinished(slug="login", verdict="ALLOW", round=3, models={"agent:code-correctness/claude": "opus"}),
    ev.ProcessSwept(task="T2", attempt=1, pids=(), left=(4714,)),
    ev.AgentNoticed(task="T2", attempt=1, text="waits: all 4 seats of this machine are taken"),
]


def unseen() -> Iterator[str]:
    """The types and fields that the story does not tell of."""
    for name, cls in event_types().items():
        told = [event for event in STORY if isinstance(event, cls)]
        for field in msgspec.structs.fields(cls):
            if not any(getattr(event, field.name) != field.default for event in told):
                yield f"{name}: {field.name}"


def drafts() -> list[Draft]:
    return [
        Draft(event=event, at=at(2 * number), trace="ab" * 16, span=str(number), parent=str(number // 2))
        for number, event in enumerate(STORY)
    ]


def main() -> None:
    if missing := sorted(unseen()):
        raise SystemExit("Add to the end of STORY:\n  " + "\n  ".join(missing))
    lines = GOLDEN.read_bytes().splitlines() if GOLDEN.exists() else []
    old = [msgspec.json.decode(line, type=Entry) for line in lines]
    new = drafts()[len(old) :]
    head = head_after(None, old) if old else None
    added = seal(RUN, head, len(old) + 1, new, encode_drafts(new))
    with GOLDEN.open("ab") as file:
        file.writelines(msgspec.json.encode(entry) + b"\n" for entry in added)


if __name__ == "__main__":
    main()
