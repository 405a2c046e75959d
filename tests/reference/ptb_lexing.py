"""The Penn Treebank rules applied one by one, without any automaton."""

from collections.abc import Iterator
from functools import cache

from frostgrid.evaluate.ptb.forms import Action
from frostgrid.evaluate.ptb.grammar.expressions import (
    Alternatives,
    CharacterSet,
    Expression,
    Sequence_,
    parse,
)
from frostgrid.evaluate.ptb.grammar.rules import RULES, expressions


@cache
def rules() -> list[tuple[Action, Expression, Expression | None]]:
    names = expressions()
    return [
        (rule.action, parse(rule.pattern, names), parse(rule.ahead, names) if rule.ahead else None)
        for rule in RULES
    ]


def ends(expression: Expression, text: str, start: int) -> set[int]:
    """Every place where a match of the expression from ``start`` can end."""
    if isinstance(expression, CharacterSet):
        inside = start < len(text) and expression.members[ord(text[start])]
        return {start + 1} if inside else set()
    if isinstance(expression, Alternatives):
        return {end for part in expression.parts for end in ends(part, text, start)}
    if isinstance(expression, Sequence_):
        places = {start}
        for part in expression.parts:
            places = {end for place in places for end in ends(part, text, place)}
        return places
    reached, fresh = set(), {start}
    times = 0
    if expression.least == 0:
        reached.add(start)
    # Past the least number of times, a place reached before leads nowhere new.
    while fresh and (expression.most is None or times < expression.most):
        fresh = {end for place in fresh for end in ends(expression.part, text, place)}
        times += 1
        if times >= expression.least:
            fresh -= reached if expression.most is None else set()
            reached |= fresh
    return reached


def match(text: str, start: int) -> tuple[int, Action]:
    """The end of the token, and the action of the rule that wins."""
    longest, found, winner = start, start, Action.SKIP
    for action, body, ahead in rules():
        matches = [
            (max(ends(ahead, text, end), default=start) if ahead else end, end)
            for end in ends(body, text, start)
        ]
        looked, end = max(matches, default=(start, start))
        if looked > longest:
            longest, found, winner = looked, end, action
    return found, winner


def lex(text: str) -> Iterator[tuple[str, Action]]:
    """The matches of a text of code units, one after the other."""
    start = 0
    while start < len(text):
        end, action = match(text, start)
        resume = end
        if action in (Action.SPLIT_2, Action.SPLIT_3):
            end = resume = end - (2 if action == Action.SPLIT_2 else 3)
        elif action == Action.ACRONYM_AT_END and end - start == 2:
            end = resume = end - 1
        elif action in (Action.ACRONYM_AT_END, Action.PERIOD_TWICE):
            resume = end - 1
        yield text[start:end], action
        start = resume
