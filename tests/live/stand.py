"""One agent's program bound as an operator would bind it, under Muster's own executor, in a repository of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import psutil

from muster import plugins
from muster.clock import SystemClock
from muster.executors.local import LocalExecutor
from muster.model.attempts import Outcome
from muster.ports import Agent, AttemptSpec, Binding, News, TelemetryReceiver
from tests.live.model_server import ModelServer
from tests.live.programs import Cli

README = "# demo\nold line\nthird\n"


class Stand:
    """The program, its binding and all that it told."""

    def __init__(
        self,
        cli: Cli,
        model: ModelServer,
        root: Path,
        *,
        without: tuple[str, ...] = (),
        receiver: TelemetryReceiver | None = None,
    ) -> None:
        self.cli, self.model, self.root = cli, model, root
        # A folder's name is that of another worker's too, and whoever sweeps a run sweeps all of its name.
        self.run = f"live-{os.getpid()}-{root.name}"
        self.repo = root / "repo"
        self.repo.mkdir()
        environ = {**cli.settle(root / "home", model.url), "CANARY_TOKEN": "a-secret-of-the-operator-0815"}
        environ = {name: value for name, value in environ.items() if name not in without}
        subprocess.run(["git", "init", "-q", str(self.repo)], check=True, env=environ)
        (self.repo / "README.md").write_text(README)
        binding = Binding(name=cli.name, command=cli.command, env_allow=cli.env_allow)
        self.agent: Agent = plugins.find("muster.agents", cli.dialect or cli.name)(binding)
        self.executor = LocalExecutor({cli.name: self.agent}, SystemClock(), environ=environ, receiver=receiver)
        self.news: list[News] = []

    def spec(self, prompt: str, number: int = 1, **more: object) -> AttemptSpec:
        base = AttemptSpec(
            id=f"{self.run}:T1:{number}",
            run=self.run,
            task="T1",
            number=number,
            agent=self.cli.name,
            workdir=self.repo,
            folder=self.root / "runs" / str(number),
            prompt=prompt,
            model=self.cli.model,
            permission="full",
            timeout_s=200.0,
        )
        return msgspec.structs.replace(base, **more)

    async def play(self, prompt: str, number: int = 1, **more: object) -> Outcome:
        """Run one attempt to its end; no process of it may be left."""
        outcome = await self.executor.run(self.spec(prompt, number, **more), self.news.append)
        assert self.left() == []
        return outcome

    def left(self) -> list[str]:
        """The living processes that work in the repository."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() != psutil.STATUS_ZOMBIE and str(self.root) in (process.cwd() or ""):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found

    def told(self, kind: str) -> list[News]:
        return [one for one in self.news if one.kind == kind]

    def transcript(self, number: int = 1) -> str:
        return "".join(
            path.read_text(errors="replace") for path in (self.root / "runs" / str(number)).rglob("*") if path.is_file()
        )
