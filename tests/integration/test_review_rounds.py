"""A later round of a review comes to an end: it adds only what is worst, or what was touched since."""

from __future__ import annotations

from pathlib import Path

import pytest

from muster.model.findings import Severity, Verdict
from muster.review.coordinator import Earlier
from muster.review.review import ReviewRequest, review
from tests.integration.git_project import GitProject

pytestmark = pytest.mark.anyio
STUB = 'def later():\n    raise NotImplementedError("later")\n'
CONFLICT = "<<<<<<< mine\nx = 1\n=======\nx = 2\n>>>>>>> yours\n"


async def test_a_later_round_adds_what_was_touched_since_and_blockers_and_lists_the_rest(tmp_path: Path) -> None:
    project = GitProject.create(tmp_path)
    since = project.head()
    first = project.commit("First", {"old.py": STUB, "known.py": STUB, "torn.txt": CONFLICT, "mended.py": "x = 1\n"})
    asked = ReviewRequest(repo=project.top, since=since)
    known = frozenset(found.id for found in (await review(asked)).findings if found.path == "known.py")
    project.commit("Second", {"mended.py": STUB})

    rounds = Earlier(round=1, known=known)
    second = await review(ReviewRequest(repo=project.top, since=since, earlier=rounds, touched_since=first))

    assert second.round == 2
    assert second.verdict is Verdict.BLOCK
    assert [found.path for found in second.findings if found.severity is Severity.BLOCKER] == ["torn.txt"]
    assert sorted(f.path for f in second.findings if f.severity is Severity.MAJOR) == ["known.py", "mended.py"]
    late = [(each.finding.path, each.reason) for each in second.dropped if each.drop_pass == 4]
    assert late == [("old.py", "new in round 2, in a file that did not change since round 1")]
