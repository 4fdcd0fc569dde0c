"""What lies in examples/ works as its pages say."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MAKE = ROOT / "examples" / "two-hundred-tasks" / "make.sh"


def sh(command: str, cwd: Path) -> str:
    env = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(cwd),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    done = subprocess.run(["sh", "-c", command], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_of_two_hundred_tasks_is_a_valid_plan_of_ten_waves(tmp_path: Path) -> None:
    sh(f"sh {MAKE} {tmp_path}/fleet", tmp_path)

    said = sh("muster plan lint --soft plan.md", tmp_path / "fleet")

    assert "200 tasks in 10 waves" in said


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_smaller_fleet_is_built_with_nothing_lost_and_nothing_twice(tmp_path: Path) -> None:
    sh(f"sh {MAKE} {tmp_path}/fleet 10 5", tmp_path)

    sh("muster run --plan plan.md --gates open --max-parallel 8 --quiet", tmp_path / "fleet")

    assert sh("cat fleet/w10-*", tmp_path / "fleet").split() == ["512"] * 5
    assert sh("ls fleet | wc -l", tmp_path / "fleet").strip() == "50"


def test_the_example_is_not_made_over_something_that_exists(tmp_path: Path) -> None:
    done = subprocess.run(["sh", MAKE, tmp_path], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert list(tmp_path.iterdir()) == []
