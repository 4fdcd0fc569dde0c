"""Where things are outside of a run: the user's folders, a repository's shared git folder."""

from __future__ import annotations

from pathlib import Path

import platformdirs

from muster.model.errors import NotFoundError

PROJECT_FILE = "muster.toml"
PROJECT_FOLDER = ".muster"


def user_folder() -> Path:
    """Where the user's settings, profiles and definitions are."""
    return platformdirs.user_config_path("muster", appauthor=False)


def state_folder() -> Path:
    """Where Muster keeps what it knows about this user's machine, outside of any repository."""
    return platformdirs.user_state_path("muster", appauthor=False)


def toplevel(folder: Path) -> Path:
    """The repository's or worktree's folder at or above ``folder``, found without asking git.

    Raises:
        NotFoundError: there is none, or one without a working tree.
    """
    for candidate in (folder, *folder.parents):
        if (candidate / ".git").exists():
            return candidate
        # gitrepository-layout(5): what a git folder has, be it bare or the inside of a .git.
        if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir() and (candidate / "refs").is_dir():
            what = "the inside of a git folder" if candidate.name == ".git" else "a bare repository"
            raise NotFoundError(f"{candidate} is {what}; Muster works in a working tree.", hint="git clone, or cd ..")
    raise NotFoundError(f"There is no git repository at or above {folder}.", hint="git init")


def common_folder(top: Path) -> Path:
    """The git folder that all worktrees of a repository share.

    Raises:
        NotFoundError: ``.git`` leads nowhere.
    """
    git = top / ".git"
    try:
        if git.is_file():
            # gitrepository-layout(5): a worktree has a file that names its own folder, which names the shared one.
            git = top / git.read_text().removeprefix("gitdir:").strip()
            shared = git / "commondir"
            if shared.is_file():
                git = git / shared.read_text().strip()
        return git.resolve(strict=True)
    except (OSError, ValueError) as error:
        raise NotFoundError(
            f"{top / '.git'} does not lead to a git folder: {error}.", hint="git worktree repair mends moved worktrees."
        ) from None
