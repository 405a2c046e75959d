"""From lexical rules to one table: regular expressions become a minimal deterministic automaton.

The rules compete as in any lexer generator: the longest match wins (what a rule looks ahead at
counts as matched), and of equally long matches the first rule's. Thompson's construction, the
subset construction and Moore's minimisation (Aho, Lam, Sethi and Ullman, *Compilers*, 2nd edition,
chapter 3). Only needed to make the table, never to use it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..lexer_table import LexerTable
from .expressions import Alternatives, CharacterSet, Expression, Repeat, Sequence_

DEAD = -1


@dataclass(frozen=True)
class Pattern:
    """A rule: ``body``, if ``ahead`` follows (which is not consumed), means ``action``."""

    action: int
    body: Expression
    ahead: Expression | None = None


@dataclass
class Nfa:
    """A non-deterministic automaton under construction; states are numbers."""

    sets: dict[bytes, int] = field(default_factory=dict)
    members: list[NDArray[np.bool_]] = field(default_factory=list)
    arcs: list[list[tuple[int, int]]] = field(default_factory=list)
    empty: list[list[int]] = field(default_factory=list)
    # State -> (number of the rule, its action, its look-ahead's number or -1).
    accepts: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    # State -> number of the look-ahead before which it stands.
    marks: dict[int, int] = field(default_factory=dict)

    def state(self) -> int:
        """Add a state."""
        self.arcs.append([])
        self.empty.append([])
        return len(self.arcs) - 1

    def add(self, expression: Expression, start: int) -> int:
        """Add the states of an expression from ``start`` on, and return where it ends."""
        if isinstance(expression, CharacterSet):
            end = self.state()
            self.arcs[start].append((self.number(expression.members), end))
            return end
        if isinstance(expression, Sequence_):
            for part in expression.parts:
                start = self.add(part, start)
            return start
        if isinstance(expression, Alternatives):
            end = self.state()
            for part in expression.parts:
                first = self.state()
                self.empty[start].append(first)
                self.empty[self.add(part, first)].append(end)
            return end
        return self.add_repeat(expression, start)

    def add_repeat(self, repeat: Repeat, start: int) -> int:
        """Add a part so often as it must come, then so often as it may."""
        for _ in range(repeat.least):
            start = self.add(repeat.part, start)
        if repeat.most is None:
            first, end = self.state(), self.state()
            self.empty[start] += [first, end]
            self.empty[self.add(repeat.part, first)] += [first, end]
            return end
        end = self.state()
        for _ in range(repeat.most - repeat.least):
            self.empty[start].append(end)
            start = self.add(repeat.part, start)
        self.empty[start].append(end)
        return end

    def number(self, members: NDArray[np.bool_]) -> int:
        """The number of a set of characters."""
        key = members.tobytes()
        if key not in self.sets:
            self.sets[key] = len(self.members)
            self.members.append(members)
        return self.sets[key]

    def closures(self) -> list[int]:
        """For every state, the states reached without reading, itself included, as bits."""
        reached = []
        for state in range(len(self.arcs)):
            seen, to_do = {state}, [state]
            while to_do:
                fresh = [s for s in self.empty[to_do.pop()] if s not in seen]
                seen.update(fresh)
                to_do += fresh
            # A state that neither reads nor ends anything tells nothing: leave it out.
            kept = (s for s in seen if self.arcs[s] or s in self.accepts or s in self.marks)
            reached.append(sum(1 << s for s in kept))
        return reached


def build_nfa(patterns: Sequence[Pattern]) -> tuple[Nfa, int]:
    """One automaton for all rules, and its start."""
    nfa = Nfa()
    start = nfa.state()
    n_ahead = 0
    for number, pattern in enumerate(patterns):
        first, last = nfa.state(), nfa.state()
        nfa.empty[start].append(first)
        end = nfa.add(pattern.body, first)
        nfa.accepts[last] = number, pattern.action, -1
        if pattern.ahead is not None:
            body_end = nfa.state()
            nfa.empty[end].append(body_end)
            nfa.marks[body_end] = n_ahead
            nfa.accepts[last] = number, pattern.action, n_ahead
            n_ahead += 1
            end = nfa.add(pattern.ahead, body_end)
        nfa.empty[end].append(last)
    return nfa, start


def classify(members: Sequence[NDArray[np.bool_]]) -> tuple[NDArray[np.uint8], list[list[int]]]:
    """The class of each character, shared by those no set tells apart, and each set's classes."""
    rows = np.packbits(np.array(members), axis=0).T
    _, first, inverse = np.unique(
        np.ascontiguousarray(rows), axis=0, return_index=True, return_inverse=True
    )
    classes = [np.flatnonzero(row[first]).tolist() for row in members]
    return inverse.reshape(-1).astype(np.uint8), classes


def bits(number: int) -> list[int]:
    """The positions of the ones."""
    positions = []
    while number:
        low = number & -number
        positions.append(low.bit_length() - 1)
        number ^= low
    return positions


def determinize(nfa: Nfa, start: int) -> LexerTable:
    """The subset construction."""
    character_class, classes = classify(nfa.members)
    closures = nfa.closures()
    numbers = {closures[start]: 0}
    order = [closures[start]]
    rows: list[Mapping[int, int]] = []
    for subset in order:
        targets: dict[int, int] = {}
        for state in bits(subset):
            for character_set, target in nfa.arcs[state]:
                for column in classes[character_set]:
                    targets[column] = targets.get(column, 0) | closures[target]
        for target in targets.values():
            if target not in numbers:
                numbers[target] = len(order)
                order.append(target)
        rows.append({column: numbers[target] for column, target in targets.items()})
    transition = np.full((len(order), int(character_class.max()) + 1), DEAD, np.int16)
    action = np.zeros(len(order), np.uint8)
    ahead = np.full(len(order), -1, np.int8)
    body_end = np.zeros(len(order), np.uint64)
    for state, (subset, row) in enumerate(zip(order, rows, strict=True)):
        transition[state, list(row)] = list(row.values())
        inside = bits(subset)
        accepted = [nfa.accepts[s] for s in inside if s in nfa.accepts]
        if accepted:
            _, action[state], ahead[state] = min(accepted)
        body_end[state] = sum({1 << nfa.marks[s] for s in inside if s in nfa.marks})
    return LexerTable(character_class, transition, action, ahead, body_end)


def minimize(table: LexerTable) -> LexerTable:
    """Join the states that no input tells apart (Moore)."""
    labels = np.column_stack([table.action, table.ahead, table.body_end.astype(np.int64)])
    group = np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)
    while True:
        # Index -1 finds the last entry, which stands for the dead state.
        after = np.append(group, DEAD)[table.transition]
        split = np.unique(np.column_stack([group, after]), axis=0, return_inverse=True)[1]
        split = split.reshape(-1)
        if split.max() == group.max():
            break
        group = split
    first = np.sort(np.unique(group, return_index=True)[1])  # the start stays the first
    rank = np.zeros(len(first) + 1, np.int64)
    rank[group[first]] = np.arange(len(first))
    rank[DEAD] = DEAD
    transition = rank[np.append(group, DEAD)[table.transition[first]]].astype(np.int16)
    return LexerTable(
        table.character_class,
        transition,
        table.action[first],
        table.ahead[first],
        table.body_end[first],
    )


def compile_patterns(patterns: Sequence[Pattern]) -> LexerTable:
    """The table of a list of rules, first come first served."""
    return minimize(determinize(*build_nfa(patterns)))
