"""The agents' programs as a person starts them: what Muster builds on, and a proof of the scripted model itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.live.model_script import HELLO, JOB
from tests.live.model_server import ModelServer
from tests.live.programs import CLIS, Cli

pytestmark = [pytest.mark.live_cli, pytest.mark.timeout(120)]
PATIENCE_S = 100


@pytest.fixture(params=sorted(name for name, cli in CLIS.items() if cli.argv))
def cli(request: pytest.FixtureRequest) -> Cli:
    """Each program that a person can start without a peer that speaks its protocol."""
    chosen = CLIS[request.param]
    chosen.program()
    return chosen


def by_hand(cli: Cli, model: ModelServer, tmp_path: Path, prompt: str) -> subprocess.CompletedProcess[bytes]:
    """Start the program in a new repository with the prompt on its standard input."""
    env = {**cli.settle(tmp_path / "home", model.url), **cli.quiet}
    repo = tmp_path / "repo"
    repo.mkdir()
    subprocess.run(["git", "init", "-q", str(repo)], check=True, env=env)
    (repo / "README.md").write_text("# demo\nold line\nthird\n")
    (tmp_path / "prompt").write_text(prompt)
    files = [tmp_path / name for name in ("stdout", "stderr")]
    with (tmp_path / "prompt").open("rb") as stdin, files[0].open("wb") as out, files[1].open("wb") as err:
        done = subprocess.run(
            [*cli.argv, "--model", cli.model],
            cwd=repo,
            env=env,
            stdin=stdin,
            stdout=out,
            stderr=err,
            timeout=PATIENCE_S,
            check=False,
        )
    return subprocess.CompletedProcess(done.args, done.returncode, *(one.read_bytes() for one in files))


def test_a_program_does_the_five_step_job(cli: Cli, model: ModelServer, tmp_path: Path) -> None:
    done = by_hand(cli, model, tmp_path, "do the scripted thing [[s:job]]")

    assert done.returncode == 0, (done.stdout[-2000:], done.stderr[-2000:])
    repo = tmp_path / "repo"
    assert (repo / "hello.txt").read_text() == HELLO
    assert (repo / "README.md").read_text() == "# demo\nnew line\nthird\n"
    assert (repo / "shell.txt").read_text() == "shell-ran\n"
    asked = model.of("job")
    assert [one.step for one in asked] == list(range(len(JOB)))
    assert {one.wire for one in asked} == {cli.wire}
    assert {one.workdir for one in asked} == {str(repo)}
    assert all(one.model in cli.model or cli.model in one.model for one in asked)
    assert model.unknown == []
