"""An MCP server that reads, writes and links files: `reader.py`. No dependencies."""

import json
import os
import sys

TOOLS = {
    "read": lambda given: open(given["path"]).read(),
    "write": lambda given: str(open(given["path"], "w").write("written")),
    "link": lambda given: str(os.symlink(given["path"], "/tmp/link")),
    "pid": lambda given: str(os.getpid()),
}


def answer(method, params):
    if method == "initialize":
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "reader", "version": "1"}}
    if method == "tools/list":
        return {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    try:
        text, failed = TOOLS[params["name"]](params.get("arguments") or {}), False
    except OSError as error:
        text, failed = str(error), True
    return {"content": [{"type": "text", "text": text}], "isError": failed}


for line in sys.stdin:
    request = json.loads(line)
    if "id" in request:
        body = {"jsonrpc": "2.0", "id": request["id"]}
        known = request["method"] in ("initialize", "tools/list", "tools/call")
        fault = {"error": {"code": -32601, "message": "Method not found"}}
        print(json.dumps(body | ({"result": answer(request["method"], request.get("params"))}
                                 if known else fault)), flush=True)
