"""Reads OTLP/HTTP bodies with OpenTelemetry's own schema and counts their log records."""

import pathlib
import sys

from google.protobuf import json_format, unknown_fields
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

count = 0
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    request = logs_service_pb2.ExportLogsServiceRequest()
    if path.suffix == ".json":
        # An unknown member is an error.
        json_format.Parse(path.read_text(), request)
    else:
        request.ParseFromString(path.read_bytes())
        assert not unknown_fields.UnknownFieldSet(request)
    for resource in request.resource_logs:
        names = {attribute.key for attribute in resource.resource.attributes}
        assert "service.name" in names, names
        for scope in resource.scope_logs:
            assert scope.scope.name == "bartizan.audit"
            for record in scope.log_records:
                assert record.time_unix_nano > 1_700_000_000 * 10**9
                assert record.severity_number and record.body.string_value
                count += 1
print(count)
