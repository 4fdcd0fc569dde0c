"""A first brief from plain words, without a model: sorted into sections, nothing left out."""

from __future__ import annotations

import re
from datetime import datetime

from muster.model.planning.brief import SECTIONS, Brief, BriefSection, Criterion
from muster.model.planning.brief_document import blocks_of, items_of, known_section
from muster.model.planning.markdown import is_prose, read_markdown, trimmed

MAX_TITLE = 72

_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_NON_GOAL = re.compile(r"(?:no |not |out of scope\b|non-goal\b)", re.IGNORECASE)
_LIMIT = re.compile(r"\b(?:must not|may not|never|do not|don't|without|avoid|keep|only|at most)\b", re.IGNORECASE)
_DEMAND = re.compile(r"\b(?:must|should|shall|has to|have to|needs? to)\b", re.IGNORECASE)

GOAL_REACHED = "The goal above is reached."
HOW_TO_CHECK = "Which command shows that it is done? Add it to a success criterion as verify: `command`."


def draft_brief(text: str, slug: str, at: datetime) -> Brief:
    r"""Sort what a person wrote into the sections of a brief.

    Paragraphs stay together as the intent, their first sentence is the goal.
    List items, and sentences that demand something, become constraints,
    non-goals, questions or success criteria by their words.

    >>> from datetime import UTC
    >>> text = "Limit logins. It must answer 429.\n\n- never block admins\n- which store?\n"
    >>> brief = draft_brief(text, "limit-logins", datetime(2026, 1, 1, tzinfo=UTC))
    >>> brief.goal, brief.success_criteria[0].text, brief.constraints
    ('Limit logins.', 'It must answer 429.', ('never block admins',))
    """
    document = read_markdown(_closed(text), front_matter=False)
    title, goal, paragraphs, sorted_items = "", "", list[str](), _Sorted()
    extra = []
    for section in document.sections:
        name = known_section(section)
        if name == "Goal":
            goal = trimmed(section.text)
        elif name and name != "Intent":
            sorted_items.kinds[name] += items_of(trimmed(section.text))
            continue
        elif name is None and (section.level == 2 or (section.level == 1 and title)):
            extra.append(BriefSection(title=section.title, text=trimmed(section.text)))
            continue
        title = title or (section.title if name is None else "")
        for block, is_item in blocks_of(trimmed(section.text)):
            if is_item:
                sorted_items.add(block)
            else:
                paragraphs.append(block)
                for sentence in _sentences(block)[1 if len(paragraphs) == 1 else 0 :]:
                    if sentence.endswith("?") or _DEMAND.search(sentence) or _LIMIT.search(sentence):
                        sorted_items.add(sentence)
    goal = goal or _goal(paragraphs, title, sorted_items)
    kinds = sorted_items.kinds
    criteria = tuple(Criterion(text=item) for item in kinds["Success Criteria"]) or (
        (Criterion(text=GOAL_REACHED),) if goal else ()
    )
    questions = list(kinds["Open Questions"])
    if not any(each.checkable for each in criteria):
        questions.append(HOW_TO_CHECK)
    return Brief(
        slug=slug,
        title=title or _title(goal),
        created=at,
        intent="\n\n".join(paragraphs) or goal,
        goal=goal,
        non_goals=tuple(kinds["Non-Goals"]),
        constraints=tuple(kinds["Constraints"]),
        success_criteria=criteria,
        open_questions=tuple(questions),
        prior_attempts=tuple(kinds["Prior Attempts"]),
        extra=tuple(extra),
    )


class _Sorted:
    """Items by the section that their words point to."""

    def __init__(self) -> None:
        self.kinds: dict[str, list[str]] = {name: [] for name in SECTIONS}

    def add(self, item: str) -> None:
        if Criterion(text=item).checkable:
            name = "Success Criteria"
        elif item.endswith("?"):
            name = "Open Questions"
        elif _NON_GOAL.match(item):
            name = "Non-Goals"
        elif _LIMIT.search(item):
            name = "Constraints"
        else:
            name = "Success Criteria"
        self.kinds[name].append(item)


def _closed(text: str) -> str:
    """The text with a fence or comment closed that would swallow the rest of the brief."""
    text = trimmed(text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff"))
    unclosed = read_markdown(text, front_matter=False).unclosed
    return f"{text}\n{unclosed}" if unclosed else text


def _sentences(paragraph: str) -> list[str]:
    if "```" in paragraph or "~~~" in paragraph:
        return [paragraph]
    return [sentence for sentence in _SENTENCE.split(" ".join(paragraph.split())) if sentence]


def _goal(paragraphs: list[str], title: str, items: _Sorted) -> str:
    for paragraph in paragraphs:
        return _harmless(_sentences(paragraph)[0])
    if title:
        return title
    first = next((item for kind in items.kinds.values() for item in kind), "")
    return _harmless(" ".join(first.split()))


def _harmless(text: str) -> str:
    """A text that is no heading, fence or comment where it stands alone."""
    return text if is_prose(text) else f"\\{text}"


def _title(goal: str) -> str:
    words = "".join(each if each.isprintable() else " " for each in goal)
    line = " ".join(words.split()).rstrip(".!?")
    return line if len(line) <= MAX_TITLE else line[:MAX_TITLE].rsplit(" ", 1)[0] + " …"
