"""Every operation of the document, called with much that it allows and much that it does not."""

import json
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
from world import World

from pinfold.types._command import record_from_json

# Not among them: `positive_data_acceptance`, since no schema can say which names exist, and
# `ignored_auth`, which takes one valid key beside an invalid one for none; that no route answers
# without a key is enumerated by the tests of crates/api.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    allow_header_conformance,
    missing_required_header,
]

# Checks that do not fit an operation, with the reason.
UNFIT = {
    # The document describes the data of one event, the check wants that of the whole event; the
    # records are read by hand below.
    "GET /v1/commands/{command_id}/stream": {response_schema_conformance, negative_data_rejection},
    # Whoever does not speak WebSocket hears that first, whatever else is wrong.
    "GET /v1/sandboxes/{sandbox_id}/pty": {negative_data_rejection},
}

# What a tar is sent as.
schemathesis.serializer.alias("application/x-tar", "application/octet-stream")

# A watch has no end, and a pull asks the world outside; tests/python does both where that is safe.
schema = schemathesis.pytest.from_fixture("api").exclude(
    path_regex="/files/watch$|/image-pulls$"
)


@schema.parametrize()
@settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
def test_answers_are_what_the_document_says(case: schemathesis.Case, world: World) -> None:
    world.fill(case)
    answer: Any = case.call(headers=world.headers, timeout=30)
    try:
        unfit = UNFIT.get(case.operation.label, set())
        case.validate_response(answer, checks=[check for check in CHECKS if check not in unfit])
        if answer.headers.get("content-type") == ["text/event-stream"]:
            read_records(answer.text)
    finally:
        world.mend(case, answer)


def read_records(text: str) -> None:
    """Every event is a record, and the last one is the end."""
    kinds = []
    for event in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.splitlines() if line[:1] != ":")
        if fields:
            record = record_from_json(json.loads(fields["data"]))
            assert record is not None and fields["id"] == str(record.seq)
            kinds.append(fields["event"])
    assert kinds[-1] == "end" and kinds.count("end") == 1
