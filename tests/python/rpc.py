"""Calls by grpcio, with code that the compiler of protobuf makes of the contract."""

import queue
import sys
import tempfile
import threading
from pathlib import Path

import grpc
from google.protobuf import json_format, message_factory
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

from commands import obey

CONTRACT = Path(__file__).resolve().parents[2] / "crates/tl-wire/proto"
# Much longer than anything takes, shorter than the test waits for an answer.
WAIT_SECONDS_MAX = 30


def generate():
    """Makes the code, and lets it be imported."""
    out = tempfile.mkdtemp()
    files = map(str, CONTRACT.rglob("*.proto"))
    args = ["protoc", f"-I{CONTRACT}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    assert protoc.main(args) == 0, "the contract is compiled"
    sys.path.insert(0, out)


generate()
from throughline.v1 import events_pb2, events_pb2_grpc, session_pb2  # noqa: E402

METHODS = events_pb2.DESCRIPTOR.services_by_name["EventService"].methods_by_name
DETAILS = [error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo, session_pb2.Problem]


class Call:
    """A call under way, and what has come so far. Messages are protobuf's own JSON."""

    def __init__(self, stub, method, messages, timeout):
        self.kind = METHODS[method]
        self.outgoing = queue.SimpleQueue()
        self.changed = threading.Condition()
        self.messages, self.error, self.is_over = [], None, False
        for message in messages:
            self.say(message)
        self.rpc = self.begin(getattr(stub, method), timeout)
        threading.Thread(target=self.listen, daemon=True).start()

    def begin(self, method, timeout):
        outgoing = iter(self.outgoing.get, None)
        request = outgoing if self.kind.client_streaming else next(outgoing)
        start = method if self.kind.server_streaming else method.future
        return start(request, timeout=timeout)

    def say(self, message):
        kind = message_factory.GetMessageClass(self.kind.input_type)
        self.outgoing.put(json_format.ParseDict(message, kind()))

    def end(self):
        self.outgoing.put(None)

    def listen(self):
        error = None
        try:
            answers = self.rpc if self.kind.server_streaming else map(lambda it: it.result(), [self.rpc])
            for message in answers:
                with self.changed:
                    self.messages.append(json_format.MessageToDict(message))
                    self.changed.notify_all()
        except grpc.RpcError as failure:
            error = told(failure)
        with self.changed:
            self.error, self.is_over = error, True
            self.changed.notify_all()

    def until(self, is_enough):
        """All so far, once it is enough or the call is over."""
        with self.changed:
            self.changed.wait_for(lambda: self.is_over or is_enough(self.messages), WAIT_SECONDS_MAX)
            return {"messages": self.messages[:], "isOver": self.is_over, "error": self.error}

    def over(self):
        return self.until(lambda messages: False)


def told(failure):
    """The status of a call that has failed, and its details by name."""
    status = rpc_status.from_call(failure)
    details = {}
    for detail in status.details if status else []:
        known = next(kind for kind in DETAILS if detail.Is(kind.DESCRIPTOR))
        message = known()
        detail.Unpack(message)
        details[known.DESCRIPTOR.full_name] = json_format.MessageToDict(message)
    return {"code": failure.code().value[0], "text": failure.details(), "details": details}


def count(messages, field):
    """How often a field has come; of `events` each counts."""
    if field == "events":
        return sum(len(message.get("events", {}).get("events", [])) for message in messages)
    return sum(field in message for message in messages)


class Client:
    """A channel, and one call after the other."""

    def connect(self, protocol, url, options):
        """Calls go to this address from now on."""
        assert protocol == "grpc", f"grpcio does not speak {protocol}"
        packing = grpc.Compression.Gzip if options.get("gzip") else grpc.Compression.NoCompression
        scheme, address = url.split("://")
        if scheme == "https":
            trusted = grpc.ssl_channel_credentials(Path(options["certificate"]).read_bytes())
            self.channel = grpc.secure_channel(address, trusted, compression=packing)
        else:
            self.channel = grpc.insecure_channel(address, compression=packing)
        self.stub = events_pb2_grpc.EventServiceStub(self.channel)

    def ask(self, method, messages):
        """A call with these messages and no more: all that it was answered."""
        call = Call(self.stub, method, messages, WAIT_SECONDS_MAX)
        call.end()
        return call.over()

    def open(self, method, messages, timeout_ms=None):
        """Opens a call, which the others are about."""
        self.call = Call(self.stub, method, messages, timeout_ms and timeout_ms / 1000)

    def say(self, message):
        """Sends one more message."""
        self.call.say(message)

    def end(self):
        """Says that no more messages come."""
        self.call.end()

    def heard(self, field, times):
        """What has come, once a field has come so often."""
        return self.call.until(lambda messages: count(messages, field) >= times)

    def over(self):
        """What has come, once the call is over."""
        return self.call.over()

    def cancel(self):
        """Leaves the call; answers with what came after all."""
        self.call.rpc.cancel()
        return self.call.over()


client = Client()
ACTIONS = ["ask", "cancel", "connect", "end", "heard", "open", "over", "say"]
obey({name: getattr(client, name) for name in ACTIONS})
