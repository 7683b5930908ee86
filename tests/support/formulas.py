"""Tableau's formulas computed on rows, as its documentation says: what a calculated field comes to, without Tableau."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any

Row = Mapping[str, Any]
Expression = Callable[[Sequence[Row]], Any]  # of the rows of a mark; of one row within an aggregate

TOKEN = re.compile(
    r"\s*('(?:[^'\\]|\\.)*'|\[Parameters\]\.\[[^\]]+\]|\[[^\]]+\]|\d+(?:\.\d+)?|[<>]=|<>|[A-Za-z_]+|\S)"
)
COMPARE = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
AGGREGATES: Mapping[str, Callable[[list[Any]], Any]] = {
    "SUM": sum,
    "MIN": min,
    "MAX": max,
    "COUNTD": lambda values: len(set(values)),
}


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def first_of_month(day: date) -> date:
    return day.replace(day=1)


def months(day: date) -> int:
    return 12 * day.year + day.month


def moved(part: str, number: int, day: date) -> date:
    if part != "month":
        return day + timedelta(**{f"{part}s": number})
    year, month = divmod(months(day) + number - 1, 12)
    return day.replace(year=year, month=month + 1)


# What is NULL where an argument is, with the parts of dates and the first day of the week that are used.
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "ROUND": round,
    "DATE": lambda day: day.date() if isinstance(day, datetime) else day,
    "STR": str,
    "RIGHT": lambda text, length: text[-length:],
    "DATETRUNC": lambda part, day, *start: {
        ("week", "monday"): monday,
        ("month",): first_of_month,
    }[(part, *start)](day),
    "DATEADD": moved,
    "DATEDIFF": lambda part, first, last, *start: {
        ("week", "monday"): (monday(last) - monday(first)).days // 7,
        ("month",): months(last) - months(first),
    }[(part, *start)],
    "DATEPART": lambda part, day: day.isocalendar().week if part == "iso-week" else getattr(day, part),
}


class Formulas:
    """The calculated fields of a workbook, with its parameters, on a day. `data` are all rows of its data source."""

    def __init__(
        self, formulas: Mapping[str, str], parameters: Mapping[str, Any], today: date, data: Sequence[Row]
    ) -> None:
        self.formulas, self.parameters, self.today = formulas, parameters, today
        self.field = cache(self._field)
        self.hold(data)

    def hold(self, data: Sequence[Row]) -> None:
        """From here on, these are all rows of the data source."""
        self.of_all = cache(lambda expression: expression(data))

    def value(self, field: str, rows: Sequence[Row]) -> Any:
        """What a field of that name is for these rows."""
        return self.field(field)(rows)

    def _field(self, name: str) -> Expression:
        """The expression of a field: its formula, or the column of that name."""
        if name in self.formulas:
            return _Parser(self, self.formulas[name]).whole()
        return lambda rows: rows[0][name]

    def call(self, name: str, given: list[Expression], rows: Sequence[Row]) -> Any:
        """A function; NULL where an argument is, but for those that ask for it."""
        if name in AGGREGATES:
            (each,) = given
            known = [value for row in rows if (value := each([row])) is not None]
            return AGGREGATES[name](known) if known else None
        values = [each(rows) for each in given]
        if name == "ISNULL":
            return values == [None]
        if name == "ZN":
            return values[0] or 0
        if name == "TODAY":
            return self.today
        return None if None in values else FUNCTIONS[name](*values)


class _Parser:
    def __init__(self, of: Formulas, formula: str) -> None:
        self.of = of
        self.tokens: list[str] = TOKEN.findall(formula)[::-1]

    def whole(self) -> Expression:
        found = self._or()
        assert not self.tokens, self.tokens
        return found

    def _is(self, *words: str) -> bool:
        return bool(self.tokens) and self.tokens[-1] in words

    def _take(self, *words: str) -> str:
        token = self.tokens.pop()
        assert not words or token in words, (token, words)
        return token

    def _binary(
        self, words: tuple[str, ...], part: Callable[[], Expression], compute: Callable[..., Any]
    ) -> Expression:
        left = part()
        while self._is(*words):
            left = self._both(self._take(), left, part(), compute)
        return left

    @staticmethod
    def _both(word: str, first: Expression, second: Expression, compute: Callable[..., Any]) -> Expression:
        return lambda rows: compute(word, first(rows), second(rows))

    def _or(self) -> Expression:
        return self._binary(
            ("OR",), self._and, lambda _, a, b: True if a or b else None if None in (a, b) else False
        )

    def _and(self) -> Expression:
        return self._binary(
            ("AND",),
            self._not,
            lambda _, a, b: False if False in (a, b) else None if None in (a, b) else True,
        )

    def _not(self) -> Expression:
        if self._is("NOT"):
            self._take()
            of = self._not()
            return lambda rows: None if (value := of(rows)) is None else not value
        return self._binary(tuple(COMPARE), self._sum, _unless_null(lambda w, a, b: COMPARE[w](a, b)))

    def _sum(self) -> Expression:
        return self._binary(
            ("+", "-"), self._product, _unless_null(lambda w, a, b: a + b if w == "+" else a - b)
        )

    def _product(self) -> Expression:
        return self._binary(
            ("*", "/"), self._sign, _unless_null(lambda w, a, b: a * b if w == "*" else a / b if b else None)
        )

    def _sign(self) -> Expression:
        if self._is("-"):
            self._take()
            of = self._one()
            return lambda rows: -of(rows)
        return self._one()

    def _one(self) -> Expression:
        token = self._take()
        if token == "(":
            inner = self._or()
            self._take(")")
            return inner
        if token == "{":
            inner = self._or()
            self._take("}")
            return lambda _: self.of.of_all(inner)
        if token == "IF":
            return self._if()
        if token.startswith("[Parameters]"):
            value = self.of.parameters[token.partition(".")[2][1:-1]]
            return lambda _: value
        if token.startswith("["):
            return self.of.field(token[1:-1])
        return self._call(token) if self._is("(") else self._literal(token)

    def _literal(self, token: str) -> Expression:
        text = re.sub(r"\\(.)", r"\1", token[1:-1])
        value = text if token.startswith("'") else int(token) if token.isdigit() else float(token)
        return lambda _: value

    def _call(self, name: str) -> Expression:
        self._take("(")
        given: list[Expression] = []
        while not self._is(")"):
            given.append(self._or())
            if self._is(","):
                self._take()
        self._take(")")
        return lambda rows: self.of.call(name, given, rows)

    def _if(self) -> Expression:
        condition = self._or()
        self._take("THEN")
        then = self._or()
        word = self._take("ELSEIF", "ELSE", "END")
        otherwise = self._if() if word == "ELSEIF" else self._or() if word == "ELSE" else lambda _: None
        if word == "ELSE":
            self._take("END")
        return lambda rows: then(rows) if condition(rows) else otherwise(rows)


def _unless_null(compute: Callable[[str, Any, Any], Any]) -> Callable[[str, Any, Any], Any]:
    return lambda word, a, b: None if a is None or b is None else compute(word, a, b)
