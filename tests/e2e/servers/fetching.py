"""An MCP server that fetches what it is told to, with the key in its environment. No dependencies."""

import json
import os
import sys
import urllib.request

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in ("fetch", "key")]


def call(name, arguments):
    if name == "key":
        return os.environ.get("KEY", "")
    headers = {"Authorization": f"Bearer {os.environ.get('KEY', '')}"} | arguments.get("headers", {})
    request = urllib.request.Request(arguments["url"], headers=headers, method=arguments.get("method", "GET"))
    with urllib.request.urlopen(request, timeout=10) as reply:
        return reply.read().decode()


def respond(method, params):
    if method == "initialize":
        info = {"name": "fetching", "version": "1"}
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
    if method == "tools/list":
        return {"tools": TOOLS}
    if method == "tools/call":
        try:
            text, failed = call(params["name"], params.get("arguments", {})), False
        except Exception as error:
            text, failed = f"{type(error).__name__}: {error}", True
        return {"content": [{"type": "text", "text": text}], "isError": failed}
    return None


for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        result = respond(message["method"], message.get("params", {}))
        body = {"result": result} if result else {"error": {"code": -32601, "message": "Method not found"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"]} | body), flush=True)
