"""What Muster adds to each program: the figures of `muster bench agent`, beside the same program by hand."""

from __future__ import annotations

import pytest

from tests.journeys.site import Site
from tests.live.programs import Cli

pytestmark = [pytest.mark.live_cli, pytest.mark.timeout(240)]


def test_the_cost_of_a_run_is_measured_beside_the_program_by_hand(site: Site, cli: Cli) -> None:
    ran = site.muster(
        *("bench", "agent", cli.name, "--tasks", "2", "--model", cli.model, "--prompt", "[[s:text]] {number}", "--json")
    )

    assert ran.code == 0, ran
    (figures,) = ran.json["agent"]
    assert (figures["tasks"], figures["failed"]) == (2, 0)
    assert figures["run_wall_ms"] > 0
    print(f"{cli.name}: {figures}")
