"""A small repository and a plan for it that show a retry, a conflict, a gate and a merge, without a model."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from muster.process import run

FILES = {
    "README.md": "# Greeter\n\nA program that learns some manners.\n",
    ".gitignore": "__pycache__/\n",
    "greeter/__init__.py": '"""Says hello."""\n',
    "greeter/styles.py": 'STYLES = ["plain"]\n',
    "tests/__init__.py": "",
    "tests/test_styles.py": (
        "import unittest\n\nfrom greeter.styles import STYLES\n\n\n"
        "class StylesTest(unittest.TestCase):\n"
        "    def test_sorted_and_unique(self):\n"
        "        self.assertEqual(STYLES, sorted(set(STYLES)))\n"
    ),
    "tools/add_style.py": (
        "import json\nimport pathlib\nimport sys\n\n"
        'place = pathlib.Path("greeter/styles.py")\n'
        'styles = json.loads(place.read_text().partition("= ")[2])\n'
        "styles = sorted({*styles, sys.argv[1]})\n"
        'place.write_text(f"STYLES = {json.dumps(styles)}\\n")\n'
    ),
}


def plan_text() -> str:
    """The plan, as a person would write it."""
    return files("muster.testing").joinpath("demo_plan.md").read_text(encoding="utf-8")


async def make(folder: Path) -> Path:
    """Make the repository in ``folder`` with one commit; returns the path of the plan, which stays uncommitted."""
    for name, text in FILES.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    await begin(folder, "A greeter without manners")
    plan = folder / "plan.md"
    plan.write_text(plan_text(), encoding="utf-8")
    return plan


async def begin(folder: Path, message: str) -> None:
    """Make a repository with one commit of what is in ``folder``."""
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", message]):
        await git(folder, *command)


async def git(folder: Path, *args: str) -> str:
    """Run git as nobody in particular, whatever its user has configured; returns what it prints."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    who = ("-c", "user.name=Demo", "-c", "user.email=demo@localhost")
    return (await run(["git", *who, *args], cwd=folder, env=env, check=True)).stdout.decode()
