"""Every setting with its type, default, range and one line of help."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from muster.model.findings import Bar
from muster.model.gates import Autonomy
from muster.model.policy import Schedule
from muster.model.record import StrictRecord

# Marks a setting that could run code or let secrets out: a project file may set it only in a trusted repository.
TRUSTED = {"trust": "always"}
# The same, but only for paths that lead out of the project.
TRUSTED_OUTSIDE = {"trust": "outside"}

# A model's name becomes an argument, so it must not look like an option.
ModelName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9]")]
AgentName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*(:[A-Za-z0-9][^@\s]*)?(@[A-Za-z0-9._-]+)?$")]
Permission = Literal["read", "edit", "full"]


class RunSettings(StrictRecord, frozen=True):
    """How a run behaves."""

    gates: Annotated[
        Autonomy,
        Meta(description="Where a run asks a person: nowhere, at every boundary, or where it matters."),
    ] = Autonomy.ADAPTIVE
    schedule: Annotated[
        Schedule,
        Meta(description="Whether a task starts with its wave or as soon as its needs are merged."),
    ] = Schedule.WAVES
    max_parallel: Annotated[int, Meta(ge=1, le=256, description="Attempts of one run at the same time.")] = 4
    host_parallel: Annotated[
        int, Meta(ge=1, le=1024, description="Attempts of all runs on this machine at the same time.")
    ] = 16
    min_free_memory_mb: Annotated[
        int, Meta(ge=0, le=1_048_576, description="No attempt starts while less memory than this is free.")
    ] = 512
    grace_s: Annotated[
        float, Meta(ge=0, le=600, description="Seconds between asking processes to end and ending them.")
    ] = 5.0
    env_allow: Annotated[
        tuple[str, ...],
        Meta(description="More environment variables that tasks may see.", extra=TRUSTED),
    ] = ()
    keep_raw: Annotated[bool, Meta(description="Keep the agents' raw output, which may hold secrets.")] = False
    plan_wave_tasks: Annotated[
        int, Meta(ge=1, le=256, description="Tasks that an agent's plan may want done at the same time.")
    ] = 12
    plan_tasks: Annotated[int, Meta(ge=1, le=500, description="Tasks that a run may have when agents plan.")] = 500


class GitSettings(StrictRecord, frozen=True):
    """How git is used."""

    hooks: Annotated[
        bool, Meta(description="Run the repository's commit hooks on the work of tasks.", extra=TRUSTED)
    ] = False


class WorktreeSettings(StrictRecord, frozen=True):
    """What a task's fresh folder gets besides the committed files."""

    link: Annotated[
        tuple[str, ...],
        Meta(description="Ignored paths that are linked into each worktree.", extra=TRUSTED_OUTSIDE),
    ] = ()
    copy: Annotated[
        tuple[str, ...],
        Meta(description="Ignored paths that are copied into each worktree.", extra=TRUSTED_OUTSIDE),
    ] = ()


class HeartbeatSettings(StrictRecord, frozen=True):
    """When an attempt without a sign of life is worth a word."""

    tick_s: Annotated[float, Meta(ge=1, le=60, description="Seconds between two looks at all running attempts.")] = 5.0
    warn_s: Annotated[
        float, Meta(ge=1, le=86_400, description="Seconds without news after which an attempt counts as quiet.")
    ] = 30.0
    stale_s: Annotated[
        float, Meta(ge=1, le=86_400, description="Seconds without news and activity after which it counts as stale.")
    ] = 60.0
    dead_s: Annotated[
        float,
        Meta(ge=1, le=86_400, description="Seconds without both after which it counts as dead and people are told."),
    ] = 300.0


class ReliabilitySettings(StrictRecord, frozen=True):
    """What happens after a failure."""

    auto_retry: Annotated[bool, Meta(description="Try again also tasks whose manifest does not say `attempts`.")] = (
        False
    )
    max_attempts: Annotated[int, Meta(ge=1, le=10, description="Attempts of a task, the first included.")] = 3
    backoff_ms: Annotated[int, Meta(ge=100, le=60_000, description="Wait after the first failed attempt.")] = 1000
    jitter_ratio: Annotated[
        float, Meta(ge=0, le=1, description="Part of the wait that is random, so that tasks do not come back together.")
    ] = 0.3
    exponential_factor: Annotated[float, Meta(ge=1, le=5, description="Growth of the wait per attempt.")] = 2.0
    cap_ms: Annotated[int, Meta(ge=100, le=3_600_000, description="The longest wait that the growth may reach.")] = (
        300_000
    )
    retryable: Annotated[
        tuple[str, ...], Meta(description="Classes of failure (globs) that are tried again besides the built-in ones.")
    ] = ()
    non_retryable: Annotated[
        tuple[str, ...],
        Meta(description="Classes of failure (globs) that are never tried again; wins over all others."),
    ] = ()
    stall_timeout_s: Annotated[
        float,
        Meta(ge=0, le=86_400, description="Seconds without output and activity that end an agent's attempt; 0: never."),
    ] = 360.0
    auto_recover: Annotated[bool, Meta(description="Resume interrupted runs without asking.")] = False
    heartbeat: HeartbeatSettings = HeartbeatSettings()


class TelemetrySettings(StrictRecord, frozen=True):
    """What is measured and where it goes."""

    enabled: Annotated[bool, Meta(description="Keep metrics of each run below `.muster/state/metrics`.")] = True
    export: Annotated[
        tuple[str, ...],
        Meta(
            description="Where metrics go at a run's end: textfile, otlp, otlp-json, prometheus; off is nowhere.",
            extra={**TRUSTED, "env": "MUSTER_EXPORT_MODE"},
        ),
    ] = ("off",)
    textfile_dir: Annotated[
        str,
        Meta(
            description="The folder that the textfile muster.prom is written to; an absolute path without links.",
            extra={**TRUSTED, "env": "MUSTER_TEXTFILE_DIR"},
        ),
    ] = ""
    otel_endpoint: Annotated[
        str,
        Meta(
            description="The OTLP collector's URL; /v1/metrics and /v1/traces are added.",
            extra={**TRUSTED, "env": "MUSTER_OTEL_ENDPOINT"},
        ),
    ] = ""
    otel_allow_private: Annotated[
        bool,
        Meta(
            description="Also send to loopback and private addresses.",
            extra={**TRUSTED, "env": "MUSTER_OTEL_ALLOW_PRIVATE"},
        ),
    ] = False

    receive: Annotated[
        bool,
        Meta(
            description="Listen on loopback while a run is driven for the telemetry of agents that continue its trace.",
            extra=TRUSTED,
        ),
    ] = False


class AuditSettings(StrictRecord, frozen=True):
    """The journal's entries as lines of JSON in a place of yours."""

    path: Annotated[
        str,
        Meta(
            description="A file that gets every entry as one line; `~`, `$VAR`, `{date}`, `{project}`; empty for none.",
            extra=TRUSTED_OUTSIDE,
        ),
    ] = ""
    retention_days: Annotated[
        int, Meta(ge=0, le=36_500, description="Days after which a day's file is removed; 0: never.")
    ] = 0


class NotifySettings(StrictRecord, frozen=True):
    """Who is told when a run needs a person or goes wrong."""

    min_severity: Annotated[
        Literal["info", "warning", "error"], Meta(description="What is less urgent than this is not told.")
    ] = "warning"
    quiet_hours: Annotated[
        str,
        Meta(
            pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$",
            description="Local time in which only errors are told, such as 22:00-07:00.",
            extra={"allowed": "empty or two times such as 22:00-07:00"},
        ),
    ] = ""
    jsonl: Annotated[bool, Meta(description="Write notifications to `.muster/state/notifications.jsonl`.")] = True
    bell: Annotated[bool, Meta(description="Ring the bell of the terminal that drives the run.")] = False
    webhook: Annotated[
        str, Meta(description="Address that each notification is posted to as JSON; empty for none.", extra=TRUSTED)
    ] = ""
    webhook_allow_private: Annotated[
        bool, Meta(description="Let the address be on this machine or in a private network.", extra=TRUSTED)
    ] = False


class BudgetSettings(StrictRecord, frozen=True):
    """How much may be spent; each is an amount of money, of tokens, or both: "5 usd, 200k tokens"."""

    # Each of them trusted: a repository must not raise what its user has allowed.
    run: Annotated[str, Meta(description="What one run may use; empty is without a limit.", extra=TRUSTED)] = ""
    day: Annotated[
        str, Meta(description="What all runs of this project may use in a day (UTC) together.", extra=TRUSTED)
    ] = ""
    project: Annotated[
        str, Meta(description="What all runs of this project may use for all time together.", extra=TRUSTED)
    ] = ""


class ReviewSettings(StrictRecord, frozen=True):
    """How the integrated work of a run is reviewed before it may be merged."""

    enabled: Annotated[bool, Meta(description="Review the integrated work of a run before it may be merged.")] = True
    max_rounds: Annotated[
        int, Meta(ge=1, le=10, description="Reviews of one run; each but the last may send the work back to be mended.")
    ] = 3
    commands: Annotated[
        tuple[str, ...],
        Meta(description="Linters to run on what is reviewed; each prints SARIF or RDJSON.", extra=TRUSTED),
    ] = ()
    agents: Annotated[
        tuple[str, ...],
        Meta(
            max_length=2,
            description="Agents that review besides the programs: the first the code, the last the brief.",
            extra=TRUSTED,
        ),
    ] = ()
    gate: Annotated[
        Bar, Meta(description="What a finding that only agents reported needs before it counts.", extra=TRUSTED)
    ] = Bar.ANY
    catalogue: Annotated[
        Literal["full", "seed"],
        Meta(description="All rules, or without those that are this program's own additions.", extra=TRUSTED),
    ] = "full"
    skip: Annotated[
        tuple[str, ...],
        Meta(description="More files to pass over, by patterns as in .gitignore; !pattern looks again.", extra=TRUSTED),
    ] = ()
    deep: Annotated[
        tuple[str, ...],
        Meta(description="More files to look at closely, by patterns as in .gitignore.", extra=TRUSTED),
    ] = ()


class AgentSettings(StrictRecord, frozen=True):
    """How one agent is started."""

    dialect: Annotated[
        str, Meta(description="The adapter that speaks with it; empty means the agent's own name.", extra=TRUSTED)
    ] = ""
    command: Annotated[
        tuple[str, ...], Meta(description="Program and first arguments, instead of the adapter's own.", extra=TRUSTED)
    ] = ()
    env_allow: Annotated[
        tuple[str, ...], Meta(description="Environment variables that this agent may see.", extra=TRUSTED)
    ] = ()
    permission: Annotated[Permission, Meta(description="What it may do by itself in its worktree.", extra=TRUSTED)] = (
        "edit"
    )
    models: Annotated[
        dict[str, ModelName], Meta(description="Tier of a profile to the model name that this agent's program wants.")
    ] = {}


class AgentsSettings(StrictRecord, frozen=True):
    """The agents; ``named`` holds the tables ``[agents.<name>]``."""

    default: Annotated[str, Meta(min_length=1, description="The agent for tasks that do not name one.")] = "claude"
    named: dict[str, AgentSettings] = {}


_WHO = "Who does it, as agent:model@effort; the next one is taken when one cannot be had."
Seats = Annotated[tuple[AgentName, ...], Meta(description=_WHO)]


class PhasesSettings(StrictRecord, frozen=True):
    """Who works in which phase, where no team says who takes the role."""

    brief: Seats = ()
    research: Seats = ()
    plan: Seats = ()
    execute: Seats = ()
    review: Seats = ()


class Settings(StrictRecord, frozen=True):
    """All that can be set in one place and is the same for a whole run."""

    default_profile: Annotated[
        str,
        Meta(
            min_length=1,
            description="The profile that chooses the models of the phases.",
            extra={"env": "MUSTER_PROFILE"},
        ),
    ] = "premium"
    run: RunSettings = RunSettings()
    git: GitSettings = GitSettings()
    worktree: WorktreeSettings = WorktreeSettings()
    reliability: ReliabilitySettings = ReliabilitySettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    audit: AuditSettings = AuditSettings()
    budget: BudgetSettings = BudgetSettings()
    notify: NotifySettings = NotifySettings()
    review: ReviewSettings = ReviewSettings()
    agents: AgentsSettings = AgentsSettings()
    phases: PhasesSettings = PhasesSettings()
