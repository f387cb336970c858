"""What schemathesis cannot know of Throughline from its description."""

import json

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import AllowHeaderMismatch, RejectedPositiveData, UnsupportedMethodResponse

NDJSON = "application/x-ndjson"
PROTOBUF = ("application/protobuf", "application/x-protobuf")
PROTO = "text/x-protobuf"
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


@schemathesis.serializer(*PROTOBUF)
def serialize_bytes(ctx, value):
    """Messages are bytes; those of examples are written as text."""
    value = getattr(value, "data", value)
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.serializer(PROTO)
def serialize_source(ctx, value):
    """The source of a schema is text."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.deserializer(PROTO)
def deserialize_source(ctx, response):
    """So it is when it is read."""
    return response.content.decode()


@schemathesis.hook
def filter_failure(ctx, failure, case, response):
    """Drops what OpenAPI has no words for; everything else is a failure."""
    if isinstance(failure, AcceptedNegativeData):
        return not (is_batch(response) or is_wrong_only_in_ignored_headers(case) or is_any_text(case))
    if isinstance(failure, RejectedPositiveData):
        return not (has_lines(case) or is_refused_for_what_no_schema_can_say(case, response))
    if isinstance(failure, (AllowHeaderMismatch, UnsupportedMethodResponse)):
        return not is_query(failure, case)
    return True


def is_query(failure, case):
    """OpenAPI 3.1 has no name for `QUERY`, which `/v1/events` answers and its `Allow` names."""
    if isinstance(failure, UnsupportedMethodResponse):
        named = [failure.method]
    else:
        named = [*failure.undocumented_methods, *failure.missing_methods]
    is_named = [method.upper() for method in named] == ["QUERY"]
    return is_named and case.path == "/v1/events"


def excludes_another(response):
    """That a header excludes another, a switch or an address is more than a schema of one of them can say."""
    if not is_refused_as(response, "parameter_invalid"):
        return False
    detail = response.json()["detail"]
    return detail.startswith(
        ("a condition is about one channel", "ephemeral events are not logged", "send `If-Match` with the ETag")
    )


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


def is_any_text(case):
    """Bytes and texts that are wrong as JSON are right as what they are."""
    wrong = {place for place, part in case.meta.components.items() if part.mode.is_negative}
    return wrong == {ParameterLocation.BODY} and case.media_type in (*PROTOBUF, PROTO)


def is_refused_as(response, code):
    """Whether the answer is this error of the request."""
    return response.status_code == 400 and response.json()["code"] == code


def has_lines(case):
    """That each line of a text is JSON is more than a schema can say."""
    return case.media_type == NDJSON


def is_refused_for_what_no_schema_can_say(case, response):
    """An event or a schema that no schema of one member can tell from a legal one."""
    # Whether something is a schema is more than a schema can say.
    if is_refused_as(response, "schema_invalid") or excludes_another(response):
        return True
    if not is_refused_as(response, "event_invalid"):
        return False
    detail = response.json()["detail"]
    names_no_channel = detail.startswith("the event must name its `channel`")
    is_said_to_be_json = detail.startswith("the data is said to be JSON and is not")
    # A body may be left out only by name: a type without bytes is data, too.
    has_no_document = detail.startswith("a document has a body")
    is_no_message = case.media_type in PROTOBUF
    return has_no_document or names_no_channel or is_said_to_be_json or is_no_message or has_escapes(case)


def has_escapes(case):
    """Quotes and percent-encoding in headers (CloudEvents HTTP binding) are more than a pattern can say."""
    values = (value for name, value in (case.headers or {}).items() if name.lower().startswith("ce-"))
    return any(set(str(value)) & set('"%\t') for value in values)
