"""Holds OCSF events, a line each on standard input, against OCSF's published schema: the class that an event
names must exist, all that it requires must be there, and nothing may be there that it does not know.

Prints how many events of which class were good; exits with 1 after naming those that are not."""

import collections
import json
import sys

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

schemas, validators, good, bad = {}, {}, collections.Counter(), 0
for number, line in enumerate(sys.stdin, 1):
    event = json.loads(line)
    version = event["metadata"]["version"]
    if version not in schemas:
        schemas[version] = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    key = (version, event["class_uid"], tuple(event["metadata"].get("profiles", [])))
    if key not in validators:
        name = schemas[version].lookup_class_name_from_uid(class_uid=event["class_uid"])
        schema = schemas[version].get_class_schema(class_name=name, profiles=list(key[2]))
        jsonschema.Draft202012Validator.check_schema(schema)
        validators[key] = (name, jsonschema.Draft202012Validator(schema))
    name, validator = validators[key]
    faults = [f"{'/'.join(map(str, fault.path))}: {fault.message[:200]}" for fault in validator.iter_errors(event)]
    # What JSON Schema does not say: a type is its class and its activity.
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        faults.append("type_uid is not class_uid and activity_id")
    if event["category_uid"] != event["class_uid"] // 1000:
        faults.append("category_uid is not that of the class")
    good[name] += not faults
    bad += bool(faults)
    for fault in faults:
        print(f"event {number} ({name}): {fault}", file=sys.stderr)
print(json.dumps(good))
sys.exit(bad > 0)
