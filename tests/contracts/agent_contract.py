"""What every dialect of agent promises, without starting anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muster.model.attempts import Ending
from muster.model.errors import InputError
from muster.model.planning.roles import TOOLS
from muster.ports import Agent, AttemptSpec, Exit, Launch, News

# The same test runs for each dialect; examples of one say nothing about another, so none are kept.
FOR_EACH_SUBCLASS = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.differing_executors])


def spec_for(**more: object) -> AttemptSpec:
    """An attempt on paper."""
    fields: dict[str, object] = {
        "id": "run:T1:1",
        "run": "run",
        "task": "T1",
        "number": 1,
        "agent": "any",
        "workdir": Path("/somewhere/work"),
        "folder": Path("/somewhere/runs/run/T1/1"),
        "command": "make",
        "prompt": "Do it – byte for byte.\r\n\t",
        **more,
    }
    return AttemptSpec(**fields)  # type: ignore[arg-type]


class AgentContract:
    """Subclass it and give the agent and a stream that ends well."""

    reads_prompt = True

    def agent(self) -> Agent:
        """The agent."""
        raise NotImplementedError

    def good_stream(self) -> list[bytes]:
        """Lines of an attempt that went well; none for a dialect that reads no output."""
        raise NotImplementedError

    def play(self, lines: list[bytes], exit: Exit) -> tuple[list[News], Ending]:
        """Feed the lines to a new parser and finish."""
        agent = self.agent()
        parser = agent.parser(agent.launch(spec_for()))
        news = [one for line in lines for one in parser.feed(line)]
        return news, parser.finish(exit, b"").ending

    def test_a_launch_is_pure_and_needs_no_file_system(self) -> None:
        first, second = (self.agent().launch(spec_for()) for _ in range(2))

        assert first == second
        assert isinstance(first, Launch)
        assert first.argv
        assert all(isinstance(part, str) and part for part in first.argv)

    def test_a_prompt_is_handed_over_on_stdin_and_not_as_an_argument(self) -> None:
        if not self.reads_prompt:
            pytest.skip("this dialect takes no prompt")
        prompt = "Ü\x01 'quoted' $HOME\n" * 20_000

        launch = self.agent().launch(spec_for(prompt=prompt))

        assert prompt.encode() in launch.stdin
        assert sum(map(len, launch.argv)) < 10_000

    @pytest.mark.parametrize("kind", TOOLS)
    def test_tools_that_a_role_does_not_get_are_taken_or_the_launch_is_refused(self, kind: str) -> None:
        if not self.reads_prompt:
            pytest.skip("this dialect has no tools")
        agent = self.agent()

        if kind in agent.capabilities.tools:
            assert agent.launch(spec_for(without=(kind,))).session == agent.launch(spec_for()).session
        else:
            with pytest.raises(InputError, match=f"the tools for '{kind}' cannot be taken"):
                agent.launch(spec_for(without=(kind,)))

    def test_a_good_stream_with_exit_code_0_is_ok(self) -> None:
        assert self.play(self.good_stream(), Exit(code=0))[1] is Ending.OK

    def test_no_stream_is_ok_with_another_exit(self) -> None:
        for exit in (Exit(code=1), Exit(code=143), Exit(signal=9), Exit(signal=15)):
            assert self.play(self.good_stream(), exit)[1] is not Ending.OK

    def test_a_stream_that_was_cut_is_never_ok(self) -> None:
        stream = self.good_stream()

        for length in range(len(stream)):
            assert self.play(stream[:length], Exit(code=0))[1] is not Ending.OK

    def test_a_failure_says_what_it_is(self) -> None:
        agent = self.agent()

        outcome = agent.parser(agent.launch(spec_for())).finish(Exit(code=1), b"the last words\n")

        assert outcome.failure is not None
        assert outcome.failure.message

    @FOR_EACH_SUBCLASS
    @given(st.lists(st.binary(max_size=200) | st.sampled_from([b"{", b"null", b"[]", b'{"type":1}']), max_size=20))
    def test_no_line_can_make_a_parser_raise_or_succeed(self, lines: list[bytes]) -> None:
        _, ending = self.play(lines, Exit(code=0))

        assert ending is not Ending.OK or not self.good_stream()

    @FOR_EACH_SUBCLASS
    @given(st.data())
    def test_noise_between_the_lines_changes_nothing(self, data: st.DataObject) -> None:
        stream = self.good_stream()
        noise = data.draw(st.lists(st.binary(max_size=100).filter(lambda line: b"{" not in line), max_size=5))
        at = data.draw(st.integers(0, len(stream)))

        calm, noisy = self.play(stream, Exit(code=0)), self.play([*stream[:at], *noise, *stream[at:]], Exit(code=0))

        assert noisy == calm

    def test_a_byte_order_mark_and_carriage_returns_change_nothing(self) -> None:
        stream = self.good_stream()
        framed = [line + b"\r" for line in stream]
        framed[:1] = [b"\xef\xbb\xbf" + line for line in framed[:1]]

        assert self.play(framed, Exit(code=0)) == self.play(stream, Exit(code=0))

    @pytest.mark.anyio
    async def test_it_says_whether_it_can_be_used_here(self) -> None:
        detected = await self.agent().detect()

        assert detected.auth in ("ok", "missing", "unknown")
        assert detected.found or detected.hint
