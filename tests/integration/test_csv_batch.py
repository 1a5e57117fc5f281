"""Many predictions asked for in CSV: the answers of the same questions in JSON, and every fault told where it is."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

pytest.importorskip("starlette", reason="starlette is in the extra 'serve'")

from predicting import World
from served import candle_json

pytest_plugins = ["predicting"]


@pytest.fixture
def world(lasting_world: World) -> World:
    return lasting_world


COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
HEADER = ",".join(COLUMNS)
GOOD = "2024-01-01T12:00:00Z,1,2,1,2,3"


def ask(world: World, text: str | bytes, content_type: str = "text/csv") -> Any:
    content = text if isinstance(text, bytes) else text.encode()
    return world.client.post("/v1/predict/batch", content=content, headers={"content-type": content_type})


def said(answer: dict[str, Any]) -> dict[str, Any]:
    """What of a prediction does not depend on when it was made, and on what was asked before it."""
    passing = ("prediction_id", "freshness_s", "latency_ms", "feature_source")
    return {name: value for name, value in answer.items() if name not in passing}


def test_csv_is_answered_as_the_same_questions_in_json(world: World) -> None:
    """Stored and computed candles, instants, another market and the newest candle: each the answer that JSON gets."""
    bodies = [candle_json(world.candles, row) for row in (-9, -3, -2)]
    bodies += [{"timestamp": bodies[0]["timestamp"]}, {"symbol": "ETH-USD"}, {"symbol": "BTC-USD"}]
    table = pd.DataFrame(bodies, columns=["close", "open", "symbol", "high", "low", "volume", "timestamp"])

    answered = ask(world, "\ufeff" + table.to_csv(index=False), "text/csv; charset=UTF-8").json()["predictions"]
    expected = world.client.post("/v1/predict/batch", json={"requests": bodies}).json()["predictions"]

    assert [said(answer) for answer in answered] == [said(answer) for answer in expected]
    assert [answer.get("status", 200) for answer in answered] == [200, 200, 200, 200, 404, 200]
    assert answered[2]["feature_source"] == "local"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("2024-01-01T12:00:00Z,1,2,1,2", "line 3: it has 5 fields, the header has 6"),
        ("2024-01-01T12:00:00Z,1,2,1,2,3,4", "line 3: it has 7 fields"),
        ("2024-01-01T12:00:00,1,2,1,2,3", "line 3: Expected `datetime` with a timezone"),
        ("yesterday,1,2,1,2,3", "line 3: Invalid RFC3339"),
        ("2024-01-01T12:00:00Z,nan,2,1,2,3", "line 3: open is 'nan', expected a number"),
        ("2024-01-01T12:00:00Z,1,inf,1,2,3", "line 3: high is 'inf'"),
        ("2024-01-01T12:00:00Z,1,1e999,1,2,3", "line 3: high is '1e999'"),
        ("2024-01-01T12:00:00Z,1,2,1, 2,3", "line 3: close is ' 2'"),
        ("2024-01-01T12:00:00Z,1,2,1,1_0,3", "line 3: close is '1_0'"),
        ("2024-01-01T12:00:00Z,1,2,1,\u0662,3", "line 3: close is"),
        ("2024-01-01T12:00:00Z,1,2,1,2,-3", "line 3: Expected `float` >= 0.0"),
        ("2024-01-01T12:00:00Z,1,2,1,2,", "lacks volume"),
        (",1,2,1,2,3", "lacks its timestamp"),
        ("2024-01-01T12:00:00Z,9,2,1,2,3", "does not hold"),
        ("", "line 3: it has 0 fields"),
        ("2999-01-01T12:00:00Z,1,2,1,2,3", "lies ahead"),
    ],
)
def test_a_bad_row_is_a_problem_in_its_place(world: World, row: str, words: str) -> None:
    """The rows around it are predicted from, and the problem names the line, or what the row lacks."""
    good = candle_json(world.candles, -9)
    line = ",".join(str(good[name]) for name in COLUMNS)

    answers = ask(world, "\n".join([HEADER, line, row, line])).json()["predictions"]

    assert len(answers) == 3
    assert (answers[1]["status"], answers[1]["title"]) == (422, "Unprocessable Entity")
    assert words in answers[1]["detail"]
    assert said(answers[0]) == said(answers[2])
    assert answers[0]["classification"]["direction"] in ("UP", "DOWN")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("", 422, "the body is empty"),
        ("\n\n", 422, "the body is empty"),
        ("\n" + GOOD, 422, "the first line is empty"),
        (HEADER, 422, "no row is below the header"),
        (HEADER + "\n\n", 422, "no row is below the header"),
        (HEADER + ("\n" + GOOD) * 1000 + "\n\n\n" + GOOD, 422, "too many rows are"),
        ("\n" * 1_000_000, 422, "the body is empty"),
        (GOOD, 422, "the header has '2024-01-01T12:00:00Z'"),
        ("Open,High\n1,2", 422, "the header has 'Open', expected fields among open, high"),
        ("open,open\n1,2", 422, "more than once"),
        (HEADER + "\n" + "\n".join([GOOD] * 1001), 422, "expected 1 to 1,000"),
        (HEADER + '\n"' + GOOD, 400, "not CSV"),
        (HEADER + '\n"2024"x,1,2,1,2,3', 400, "not CSV"),
        (b"\xff\xfe\x00", 400, "not CSV in UTF-8"),
        ("symbol\n" + "x" * 200_000, 400, "not CSV"),
        ("symbol\n" + "BTC-USD\n" * 200_000, 413, "bytes"),
    ],
)
def test_a_body_that_is_no_table_of_requests_is_refused_whole(
    world: World, body: str | bytes, status: int, words: str
) -> None:
    """Nothing is predicted from a table whose header, size or form is wrong; the problem says what is."""
    answer = ask(world, body)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def test_another_encoding_is_refused(world: World) -> None:
    """A charset other than UTF-8 is named, not guessed around; a body of another type is read as JSON as ever."""
    answer = ask(world, HEADER + "\n" + GOOD, 'text/csv; charset="latin-1"')

    assert (answer.status_code, "latin-1" in answer.json()["detail"]) == (422, True)
    assert ask(world, '{"requests": [{}]}', "text/plain").status_code == 200
