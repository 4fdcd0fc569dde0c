"""Secrets that must not be written, and repositories that must not be believed."""

from __future__ import annotations

import os
import re
import string
import zipfile
from random import Random

import pytest

from muster.model.redaction import Redactor
from tests.campaign.support import OPEN, played, statuses
from tests.journeys.site import Site, adds, task

CANARY = "cn-7f3e9b2d41c8a605-canary"


def bytes_of_ours(site: Site) -> dict[str, bytes]:
    """Every byte that Muster wrote: state, worktrees, artefacts, messages of its commits, temporary files."""
    found: dict[str, bytes] = {}
    for root in (site.top / ".muster", site.root / "tmp", site.home):
        for folder, _, files in os.walk(root):
            for name in files:
                path = os.path.join(folder, name)  # noqa: PTH118 - speed, there are many
                if not os.path.islink(path):  # noqa: PTH114
                    with open(path, "rb") as file:  # noqa: PTH123
                        found[path] = file.read()
    found["messages"] = site.git("log", "--all", "--format=%B%N%an%ae").encode()
    found["reflogs"] = site.git("log", "-g", "--all", "--format=%gs", ok=False).encode()
    return found


def test_mode_21_a_secret_appears_in_no_byte_that_we_write(site: Site) -> None:
    """A key is in the environment, and a task that should not have it prints it, fails with it and reports it.

    Work: what the task commits is its own; all that is kept about it is redacted.
    Processes: the key is in the environment of no task.
    Money: usage is kept as it was told.
    """
    site.write({"secret.sh": f"printf '%s\\n' {CANARY} key={CANARY} >&2; echo {CANARY}; exit 1\n"})
    site.git("add", "secret.sh")
    site.git("commit", "-qm", "A script that knows too much")
    site.plan(
        task("env", "env > env.txt; ! grep -q cn-7f3e env.txt", on_failure="continue"),
        task("prints", "sh secret.sh", attempts=2, on_failure="continue"),
        played(
            "tells",
            "- run: sh secret.sh\n- write: {path: x.txt, text: x}\n- run: 'sh secret.sh; true'\n",
            on_failure="continue",
        ),
        task("verified", "echo x > y.txt", verify=["sh secret.sh"], on_failure="continue"),
    )

    ran = site.muster(*OPEN, env={"MY_API_KEY": CANARY})

    assert statuses(site)["env"] == "done", ran
    assert CANARY not in ran.out + ran.err
    shown = [site.muster(*words).out for words in (["show"], ["log", "@last", "prints"], ["events"], ["report"])]
    assert [text for text in shown if CANARY in text] == []
    hits = [name for name, content in bytes_of_ours(site).items() if CANARY.encode() in content]
    assert hits == []


@pytest.mark.parametrize("size", [2_000_000])
def test_mode_21_redacting_takes_time_in_proportion(size: int) -> None:
    """Two megabytes of text that nearly match every pattern are redacted, as are half of them.

    Work: all of the text comes back but for the secret.
    Processes: none.
    Money: none.
    """
    text = ("token=" + "a" * 50 + " sk-" + "b" * 30 + " \x1b[0m -----BEGIN " + string.ascii_letters + "\n") * (
        size // 120
    )
    redact = Redactor(frozenset({CANARY}))

    cleaned = redact(text + CANARY)

    assert CANARY not in cleaned
    assert len(cleaned) > size // 20


def names(seed: int) -> list[str]:
    """Words that a careless program would take for a path, an option, a ref or a command."""
    chance = Random(seed)
    alphabet = "ab./-_~$`'\"\\ \n\t\x00é@{}:;|&*?[]^<>#%!"
    grown = ["".join(chance.choice(alphabet) for _ in range(chance.randint(1, 12))) for _ in range(6)]
    grown = [name for name in grown if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name)]
    return ["../../escape", "-rf", "a/../../b", ".git", "@{-1}", "refs/heads/main", "$(touch hacked)", *grown]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.campaign) for seed in range(2, 12))])
def test_mode_24_nothing_of_a_hostile_repository_runs_and_no_name_leads_anywhere(site: Site, seed: int) -> None:
    """A repository brings hooks, filters and settings, and ids, slugs and run names are tried that look like paths.

    Work: a plan with a bad id is refused with its line; the good plan is merged.
    Processes: none of the repository's programs is started before it is trusted.
    Money: nothing is spent on what is refused.
    """
    trap = site.root / "hacked"
    site.commit(
        "Hostile",
        {
            "hooks/pre-commit": f"#!/bin/sh\ntouch {trap}\n",
            ".gitattributes": "* filter=evil diff=evil\n",
            "muster.toml": f'[agents.evil]\ndialect = "claude"\ncommand = ["touch", "{trap}"]\n',
        },
    )
    (site.top / "hooks/pre-commit").chmod(0o755)
    site.git("config", "core.hooksPath", "hooks")
    site.git("config", "filter.evil.clean", f"sh -c 'touch {trap}; cat'")
    site.git("config", "diff.evil.textconv", f"touch {trap}; cat")
    site.plan(adds("x"))

    untrusted = site.muster(*OPEN, "--json")
    words = names(seed)[: 4 if seed == 1 else None]
    for number, name in enumerate(words):
        site.plan(task(name, "true", changes="any"), at=f"bad{number}.md")
    linted = [site.muster("plan", "lint", f"bad{number}.md") for number in range(len(words))]
    asked = [site.muster(*command, Random(seed).choice(names(seed)[:5])) for command in (["show"], ["salvage", "show"])]

    assert all(ran.code == 2 for ran in linted), linted
    assert all(ran.code in (1, 2, 4) for ran in asked), asked
    assert untrusted.code == 4, untrusted
    assert not trap.exists()
    assert sorted(path.name for path in site.root.iterdir()) == ["home", "repo", "tmp"]
    assert site.tree() == [".gitattributes", "a.txt", "b.txt", "hooks/pre-commit", "muster.toml"]


HOSTILE: dict[str, tuple[str, int]] = {
    "up": ("../../escape.md", 0o100644),
    "inside": ("diffs/../../../../escape.md", 0o100644),
    "absolute": ("/tmp/muster-escape.md", 0o100644),
    "link": ("plan.md", 0o120777),
    "hook": (".git/hooks/post-checkout", 0o100755),
}


def test_mode_24_a_bundle_of_a_stranger_writes_nothing_outside_of_its_place(site: Site) -> None:
    """Bundles bring names that lead elsewhere, a link in the place of a file, and a hook.

    Work: nothing is unpacked, and every file that was there stays as it was.
    Processes: none is started.
    Money: nothing is spent.
    """
    site.plan(adds("x"))
    site.muster(*OPEN)
    site.muster("bundle", "export", "--out", "good.zip")
    for way, (name, mode) in HOSTILE.items():
        with zipfile.ZipFile(site.top / "good.zip") as good, zipfile.ZipFile(site.top / f"{way}.zip", "w") as bad:
            for info in good.infolist():
                if info.filename != name:
                    bad.writestr(info, good.read(info))
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            bad.writestr(info, "/etc/passwd")
    before = site.users()

    tried = {way: site.muster("bundle", "import", f"{way}.zip") for way in HOSTILE}
    opened = site.muster("bundle", "open", "up.zip", "--to", "out")

    assert {way: ran.code for way, ran in tried.items()} == dict.fromkeys(HOSTILE, 4), tried
    assert opened.code == 4
    assert "Nothing was unpacked" in opened.err
    assert site.users() == before
    assert not (site.top / ".muster/state/imported").exists()
    assert [str(path) for path in site.root.rglob("*escape*")] == []
    assert site.left() == {}
