"""`muster agent test` on the real programs: what a person with a key would see."""

from __future__ import annotations

import pytest

from tests.journeys.site import Site
from tests.live.programs import Cli

pytestmark = [pytest.mark.live_cli, pytest.mark.timeout(300)]


def test_a_real_program_keeps_what_is_expected_of_an_agent(site: Site, cli: Cli) -> None:
    ran = site.muster("agent", "test", cli.name, "--model", cli.model, "--timeout", "60", "--json")

    print(ran.out)
    results = {check["name"]: (check["result"], check["detail"]) for check in ran.json["checks"]}
    assert ran.code == 0, results
    must = {"success", "usage", "polite stop", "kill", "orphans", "protocol"}
    assert {name: told for name, told in results.items() if name in must and told[0] != "ok"} == {}
    assert results["resume"][0] == "ok" or not cli.resumes
