"""The attempts of hostile.py as the tools of an MCP server: `server.py FACTS`."""

import json
import os
import sys
import time

import bombs
import hostile


def giant(_):
    """A line without an end."""
    while True:
        os.write(1, b"x" * (1 << 20))


def slow(_):
    """An answer that never comes to its end."""
    while True:
        os.write(1, b" ")
        time.sleep(0.05)


def answer(method, params, facts):
    if method == "initialize":
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                "serverInfo": {"name": "hostile", "version": "1"}}
    if method == "tools/list":
        names = [*hostile.ATTEMPTS, *bombs.BOMBS, "giant", "slow", "nothing"]
        return {"tools": [{"name": slug(name), "inputSchema": {"type": "object"}} for name in names]}
    name = params["name"]
    if name == "nothing":
        return {"content": [{"type": "text", "text": "done"}], "isError": False}
    if name in ("giant", "slow"):
        {"giant": giant, "slow": slow}[name](facts)
    if name in bombs.BOMBS:
        count, end = bombs.BOMBS[name](facts)
        return {"content": [{"type": "text", "text": f"{count} {end}"}], "isError": end is not None}
    line = next(hostile.attempt(own, facts) for own in hostile.ATTEMPTS if slug(own) == name)
    return {"content": [{"type": "text", "text": line}], "isError": line.startswith("held")}


def slug(name):
    return "".join(c if c.isalnum() else "_" for c in name)


def serve(facts):
    for line in sys.stdin:
        request = json.loads(line)
        if "id" in request:
            try:
                result = {"result": answer(request["method"], request.get("params"), facts)}
            except KeyError:
                result = {"error": {"code": -32601, "message": "unknown"}}
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **result}), flush=True)


if __name__ == "__main__":
    serve(json.loads(sys.argv[-1]))
