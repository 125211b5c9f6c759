"""A collector of OpenTelemetry: takes OTLP over HTTP in JSON and in protobuf, read with OpenTelemetry's own messages.

python collector.py PORT: answers the first request with 503, as one that is overloaded does. GET /spans and
GET /metrics give what came. Ids are hexadecimal in this JSON, where protobuf's own has base64.
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf import unknown_fields
from google.protobuf.json_format import MessageToDict, Parse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

spans, metrics, refused, keys = [], [], [], set()


def as_base64(value):
    if isinstance(value, list):
        return [as_base64(item) for item in value]
    if isinstance(value, dict):
        ids = ("traceId", "spanId", "parentSpanId")
        return {
            name: base64.b64encode(bytes.fromhex(item)).decode() if name in ids else as_base64(item)
            for name, item in value.items()
        }
    return value


def flat(attributes):
    return {item.key: item.value.string_value for item in attributes}


class Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if not refused:
            refused.append(self.path)
            return self.answer(503, {})
        keys.add(self.headers.get("x-key"))
        if self.path == "/v1/traces":
            message = self.read(ExportTraceServiceRequest, body)
            for resource in message.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        spans.append({
                            "resource": flat(resource.resource.attributes),
                            "trace": span.trace_id.hex(),
                            "span": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "state": span.trace_state,
                            "name": span.name,
                            "kind": span.kind,
                            "took": span.end_time_unix_nano - span.start_time_unix_nano,
                            "attributes": flat(span.attributes),
                            "events": [event.name for event in span.events],
                            "status": span.status.code,
                        })
        elif self.path == "/v1/metrics":
            message = self.read(ExportMetricsServiceRequest, body)
            metrics.append(MessageToDict(message))
        else:
            return self.answer(404, {})
        self.answer(200, {})

    def read(self, kind, body):
        if self.headers["content-type"] == "application/x-protobuf":
            message = kind.FromString(body)
            # A number that the schema does not have would be kept as unknown.
            assert not unknown_fields.UnknownFieldSet(message)
            return message
        return Parse(json.dumps(as_base64(json.loads(body))), kind())

    def do_GET(self):
        self.answer(200, {"/spans": spans, "/metrics": metrics, "/keys": sorted(map(str, keys))}[self.path])

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Collector)
print("ready", flush=True)
server.serve_forever()
