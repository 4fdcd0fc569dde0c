"""What ``make setup`` says on a machine that lacks something."""

import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "find_python.sh"


class Machine:
    """A search path that holds only the programs a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder
        for tool in ("sh", "sed"):
            found = shutil.which(tool)
            assert found
            (folder / tool).symlink_to(found)

    def has_git(self, version: str) -> None:
        self._install("git", f"echo 'git version {version}'")

    def has_python(self, name: str, version: str, *, venv: bool = True) -> None:
        new_enough = int(version.split(".")[1]) >= 11
        self._install(
            name,
            f"""case "$2" in
                *print*) echo {version} ;;
                *sys.exit*) exit {0 if new_enough else 1} ;;
                *ensurepip*) exit {0 if venv else 1} ;;
            esac""",
        )

    def find(self, python: str | None = None) -> subprocess.CompletedProcess[str]:
        env = {"PATH": str(self.bin)} | ({"PYTHON": python} if python else {})
        return subprocess.run([self.bin / "sh", SCRIPT], env=env, capture_output=True, text=True)

    def _install(self, name: str, body: str) -> None:
        program = self.bin / name
        program.write_text(f"#!{self.bin / 'sh'}\n{body}\n")
        program.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_oldest_supported_python_is_preferred(machine: Machine) -> None:
    machine.has_git("2.39.5")
    machine.has_python("python3", "3.13")
    machine.has_python("python3.11", "3.11")

    assert machine.find().stdout == "python3.11\n"


def test_a_python_chosen_by_hand_is_taken(machine: Machine) -> None:
    machine.has_git("2.50.1 (Apple Git-155)")
    machine.has_python("python3.11", "3.11")
    machine.has_python("mine", "3.12")

    assert machine.find(python="mine").stdout == "mine\n"


def test_a_python_that_is_too_old_is_named(machine: Machine) -> None:
    machine.has_git("2.39.5")
    machine.has_python("python3", "3.9")

    found = machine.find()

    assert found.returncode == 1
    assert "Python 3.11 or newer is needed; found: python3 is 3.9;" in found.stderr


def test_a_debian_without_venv_is_told_what_to_install(machine: Machine) -> None:
    machine.has_git("2.39.5")
    machine.has_python("python3", "3.11", venv=False)

    found = machine.find()

    assert found.returncode == 1
    assert "apt install python3-venv" in found.stderr


@pytest.mark.parametrize("version", ["2.37.9", "1.99.0"])
def test_a_git_that_is_too_old_is_named(machine: Machine, version: str) -> None:
    machine.has_git(version)
    machine.has_python("python3", "3.11")

    found = machine.find()

    assert found.returncode == 1
    assert "install git 2.38 or newer" in found.stderr


def test_a_missing_git_is_told(machine: Machine) -> None:
    machine.has_python("python3", "3.11")

    found = machine.find()

    assert found.returncode == 1
    assert "git is not installed" in found.stderr
