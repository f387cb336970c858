"""What schemathesis cannot know of Throughline from its description."""

import json

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData

NDJSON = "application/x-ndjson"
STRUCTURED = ("application/cloudevents+json", "application/cloudevents-batch+json", NDJSON)


@schemathesis.serializer(NDJSON)
def serialize_lines(ctx, value):
    """Lines are text, whatever the tester would rather send."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.deserializer(NDJSON)
def deserialize_lines(ctx, response):
    """Every line must be JSON for itself."""
    for line in response.content.splitlines():
        json.loads(line)
    return response.content.decode()


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    """Drops what OpenAPI has no words for; everything else is a failure."""
    if isinstance(failure, AcceptedNegativeData):
        return not (is_batch(response) or is_wrong_only_in_ignored_headers(case))
    if isinstance(failure, RejectedPositiveData):
        return not (has_lines(case) or is_refused_for_what_no_schema_can_say(case, response))
    return True


def is_batch(response):
    """A batch is taken as a whole, and answered event by event: one that is none is refused there."""
    return response.status_code == 200 and response.content.startswith(b'{"receipts":')


def is_wrong_only_in_ignored_headers(case):
    """HTTP ignores headers it does not know, and `ce-*` headers say nothing beside a CloudEvent in JSON."""
    wrong = {place for place, part in case.meta.components.items() if part.mode.is_negative}
    headers = {name.lower() for name in case.headers or {}}
    is_structured = case.media_type in STRUCTURED and any(it.startswith("ce-") for it in headers)
    is_unknown = any("unknown-property" in name for name in headers)
    return wrong == {ParameterLocation.HEADER} and (is_structured or is_unknown)


def has_lines(case):
    """That each line of a text is JSON is more than a schema can say."""
    return case.media_type == NDJSON


def is_refused_for_what_no_schema_can_say(case, response):
    """An event that no schema of one member can tell from a legal one."""
    if response.status_code != 400 or response.json()["code"] != "event_invalid":
        return False
    detail = response.json()["detail"]
    names_no_channel = detail.startswith("the event must name its `channel`")
    is_said_to_be_json = detail.startswith("the data is said to be JSON and is not")
    return names_no_channel or is_said_to_be_json or has_escapes(case)


def has_escapes(case):
    """Quotes and percent-encoding in headers (CloudEvents HTTP binding) are more than a pattern can say."""
    values = (value for name, value in (case.headers or {}).items() if name.lower().startswith("ce-"))
    return any(set(str(value)) & set('"%\t') for value in values)
