"""The predictor against its own OpenAPI document: requests generated from it, right and wrong, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from served import market

pytest.importorskip("schemathesis", reason="schemathesis is in the extra 'test'")
pytest.importorskip("sklearn", reason="scikit-learn is in the extra 'train'")
pytest.importorskip("uvicorn", reason="uvicorn is in the extra 'serve'")
import schemathesis
from schemathesis.checks import CHECKS, load_all_checks

from btcfs.serving.openapi import document
from server import ADMIN, Server, model_server

EXAMPLES = 20
SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = {found.ok().label: found.ok() for found in SCHEMA.get_all_operations()}
MODES = {mode.value: mode for mode in schemathesis.GenerationMode}
# Nothing can be wrong in a request of which nothing is read.
CASES = [
    (label, mode)
    for label, found in OPERATIONS.items()
    for mode in MODES
    if mode == "positive" or found.body or found.query or found.path_parameters
]
SECURED = [(label, mode) for label, mode in CASES if label.startswith("POST /v1/models") or "reload" in label]
# A document cannot say that low <= open, that a market is stored, or that one of two parameters is too many.
UNSAYABLE = "positive_data_acceptance"


@schemathesis.serializer("text/csv")
def as_text(context: Any, value: Any) -> bytes:
    """A CSV body as the document describes it: a text, whatever is in it."""
    return str(value).encode("utf-8", "surrogatepass")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    from conftest import FrameSource

    load_all_checks()
    with model_server(tmp_path_factory.mktemp("server"), FrameSource(market(900))) as served:
        yield served


def asked(server: Server, operation: str, mode: str, headers: dict[str, str]) -> None:
    """Ask so many times in that way, and check every answer against the document."""

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def each(data: Any) -> None:
        case = data.draw(OPERATIONS[operation].as_strategy(generation_mode=MODES[mode]))
        response = case.call(base_url=server.url, headers=headers)
        assert response.status_code < 500, response.text
        assert "Traceback" not in response.text
        case.validate_response(response, headers=headers, excluded_checks=CHECKS.get_by_names([UNSAYABLE]))

    each()


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_every_answer_is_what_the_document_says(server: Server, operation: str, mode: str) -> None:
    """No status, content type or body that the document does not have, whatever a stranger asks."""
    asked(server, operation, mode, {})

    assert server.answering()


@pytest.mark.parametrize(("operation", "mode"), SECURED)
def test_the_administrators_requests_too(server: Server, operation: str, mode: str) -> None:
    """With the token as well, no request fails the server, and afterwards it still predicts."""
    asked(server, operation, mode, ADMIN)

    assert server.answering()
