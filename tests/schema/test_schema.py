"""Every operation of the document, called with much that it allows and much that it does not."""

import json
from collections.abc import Callable
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

from pinfold.types._build import BuildEnded, build_event_from_json
from pinfold.types._code import CodeComplete, code_event_from_json
from pinfold.types._command import End, record_from_json
from pinfold.types._pipeline import PipelineEnded, pipeline_event_from_json

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
    "GET /v1/code/runs/{run_id}/stream": {response_schema_conformance, negative_data_rejection},
    "GET /v1/builds/{build_id}/stream": {response_schema_conformance, negative_data_rejection},
    "GET /v1/pipeline-runs/{pipeline_run_id}/stream": {
        response_schema_conformance,
        negative_data_rejection,
    },
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
            ends = read_events(answer.text, *EVENTS[case.operation.label])
            # Behind the last event of a run of code there is nothing.
            behind = {**(case.query or {}), **(case.headers or {})}.keys() & RESUMING
            assert ends[-1:] == [True] and sum(ends) == 1 or behind and not ends
    finally:
        world.mend(case, answer)


# What asks for events behind one that was seen.
RESUMING = {"after_seq", "last-event-id"}
# How the events of a stream are read, and which one is the last.
EVENTS: dict[str, tuple[Callable[[Any], Any], type]] = {
    "GET /v1/commands/{command_id}/stream": (record_from_json, End),
    "GET /v1/code/runs/{run_id}/stream": (code_event_from_json, CodeComplete),
    "GET /v1/builds/{build_id}/stream": (build_event_from_json, BuildEnded),
    "GET /v1/pipeline-runs/{pipeline_run_id}/stream": (pipeline_event_from_json, PipelineEnded),
}


def read_events(text: str, read: Callable[[Any], Any], last: type) -> list[bool]:
    """Every event is one of the document, numbered by its id; which of them are the end."""
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line[:1] != ":")
        if fields:
            assert fields.keys() == {"event", "id", "data"}
            data = json.loads(fields["data"])
            event = read(data)
            assert event is not None and fields["id"] == str(event.seq)
            assert fields["event"] == data.get("type", fields["event"])
            events.append(event)
    return [isinstance(event, last) for event in events]


# What never succeeds here, with the reason.
NEVER = {
    # The one image that there is, all others need.
    "DELETE /v1/images/{image}",
    # The one image that there is stands on this machine's own system; tests/python exports a built one.
    "GET /v1/images/{image}/export",
    # Bytes that happen to be a root filesystem are not found by chance.
    "PUT /v1/images/{image}",
    # Bytes are a tar by chance only; tests/python unpacks real ones.
    "PUT /v1/sandboxes/{sandbox_id}/files/archive",
    # It takes a WebSocket.
    "GET /v1/sandboxes/{sandbox_id}/pty",
}


def test_every_operation_was_tried_with_things_that_exist(world: World) -> None:
    # By the test above, which comes first.
    assert len(world.answers) > 60
    failed = {label: sorted(each) for label, each in world.answers.items() if min(each) >= 400}
    assert failed.keys() <= NEVER, failed
