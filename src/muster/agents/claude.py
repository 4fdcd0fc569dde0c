"""Claude Code: starts `claude -p --output-format stream-json`."""

from __future__ import annotations

from muster.agents import _dialect as dialect
from muster.agents._dialect import mapping
from muster.agents.claude_stream import ClaudeParser
from muster.model.attempts import Usage
from muster.ports import AttemptSpec, Binding, Capabilities, Detected, Launch

_ENV = {
    # Retrying is the run's policy; by itself it retries 10 times, for minutes.
    "CLAUDE_CODE_MAX_RETRIES": "2",
    # Why it did not start, as a result and not on stderr alone.
    "CLAUDE_CODE_STARTUP_FAILURE_RESULTS": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
}
_TRACED = {
    "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
    "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
    "OTEL_TRACES_EXPORTER": "otlp",
}
_ENV_ALLOW = (
    *("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ANTHROPIC_CUSTOM_HEADERS"),
    *("ANTHROPIC_DEFAULT_*_MODEL", "CLAUDE_CONFIG_DIR", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_*"),
    *("IS_SANDBOX", "NODE_EXTRA_CA_CERTS", *dialect.NETWORK_ENV),
)
_PERMISSIONS = {
    "read": ("--permission-mode", "plan"),
    "edit": ("--permission-mode", "acceptEdits"),
    "full": ("--dangerously-skip-permissions",),
}
_TOOLS = {
    "read": ("Read", "Glob", "Grep", "LSP", "NotebookRead"),
    "edit": ("Edit", "Write", "MultiEdit", "NotebookEdit"),
    "shell": ("Bash", "PowerShell", "Monitor"),
    "web": ("WebFetch", "WebSearch"),
    "agents": ("Agent", "Task", "ListAgents", "Workflow"),
}


class ClaudeAgent:
    """Drives the `claude` program without a terminal."""

    name = "claude"
    capabilities = Capabilities(
        resume=True,
        preassigned_session=True,
        interrupt=True,
        reports_cost=True,
        permissions=tuple(_PERMISSIONS),
        tools=tuple(_TOOLS),
        turns="own",
    )

    def __init__(self, binding: Binding | None = None) -> None:
        self._binding = binding or Binding(name="claude")
        self.name = self._binding.name

    async def detect(self) -> Detected:
        """Ask it for its version and whether it is logged in."""
        return await dialect.detect(
            dialect.program(self._binding, "claude"),
            ("auth", "status"),
            env_allow=(*_ENV_ALLOW, *self._binding.env_allow),
            logged_in=lambda asked: mapping(dialect.decode(asked.stdout)).get("loggedIn"),
            install="npm install -g @anthropic-ai/claude-code",
            login="claude auth login",
        )

    def launch(self, spec: AttemptSpec) -> Launch:
        """Say how to start the attempt."""
        argv = [*dialect.program(self._binding, "claude"), "-p", "--output-format", "stream-json", "--verbose"]
        argv += dialect.permitted(self.name, spec, _PERMISSIONS)
        if model := dialect.model_for(self._binding, spec):
            argv += ["--model", model]
        if spec.effort:
            argv += ["--effort", dialect.argument("effort", spec.effort)]
        if tools := dialect.taken(self.name, spec, _TOOLS):
            argv += ["--disallowedTools", ",".join(tools)]
        if spec.max_turns is not None:
            argv += ["--max-turns", str(spec.max_turns)]
        if spec.max_cost_usd is not None:
            # Other than the cost it tells, what it holds against this does not run on when a session is resumed.
            argv += ["--max-budget-usd", f"{spec.max_cost_usd:.6f}".rstrip("0").rstrip(".")]
        session = dialect.argument("session", spec.session) if spec.session else dialect.session_for(spec.id)
        argv += ["--resume" if spec.session else "--session-id", session]
        return Launch(
            argv=tuple(argv),
            env=_ENV,
            traced=_TRACED,
            env_allow=(*_ENV_ALLOW, *self._binding.env_allow),
            stdin=spec.prompt.encode("utf-8", "surrogateescape"),
            session=session,
            resumed=bool(spec.session),
            polite=True,
            spent=spec.spent if spec.session else Usage(),
        )

    def parser(self, launch: Launch) -> ClaudeParser:
        """A parser for the output of one start."""
        return ClaudeParser(launch)
