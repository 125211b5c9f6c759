"""An MCP server whose definitions stand in a file that is read anew at each request.

    shifting.py stdio FILE      one message a line
    shifting.py http FILE       prints `listening URL`

FILE holds an object of `info`, `instructions`, `tools`, `prompts`, `resources`, `resourceTemplates`,
`contents` (by URI) and `results` (by the tool's name, else its name comes back; `$request` gives the
request's `_meta` and its HTTP headers). Both eras, no dependencies.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATELESS = "2026-07-28"
LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}


def answer(message, path, headers=None):
    """The response to a request; nothing for a notification."""
    if "id" not in message or "method" not in message:
        return None
    with open(path, encoding="utf-8") as file:
        says = json.load(file)
    params = message.get("params") or {}
    result = respond(says, message["method"], params, headers)
    body = {"jsonrpc": "2.0", "id": message["id"]}
    if result is None:
        return body | {"error": {"code": -32601, "message": "Method not found"}}
    stateless = "io.modelcontextprotocol/protocolVersion" in (params.get("_meta") or {})
    if stateless:
        result["resultType"] = "complete"
    return body | {"result": result}


def respond(says, method, params, headers):
    info = says.get("info", {"name": "shifting", "version": "1"})
    said = {"instructions": says["instructions"]} if "instructions" in says else {}
    if method in LISTS:
        member = LISTS[method]
        return {member: says[member], "ttlMs": 0} if member in says else None
    if method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": info} | said
    if method == "server/discover":
        meta = {"io.modelcontextprotocol/serverInfo": info}
        return {"supportedVersions": [STATELESS], "capabilities": {}, "_meta": meta} | said
    if method == "tools/call":
        text = says.get("results", {}).get(params["name"], params["name"])
        if text == "$request":
            text = json.dumps({"meta": params.get("_meta"), "headers": headers})
        return {"content": [{"type": "text", "text": text}]}
    if method == "prompts/get":
        text = {"type": "text", "text": params["name"]}
        return {"messages": [{"role": "user", "content": text}]}
    if method == "resources/read":
        text = says.get("contents", {}).get(params["uri"], "")
        return {"contents": [{"uri": params["uri"], "mimeType": "text/html", "text": text}]}
    return {} if method == "ping" else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    path_to_file = ""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        reply = answer(json.loads(body), self.path_to_file, self.lowered())
        text = b"" if reply is None else json.dumps(reply).encode()
        self.send_response(202 if reply is None else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def lowered(self):
        return {name.lower(): value for name, value in self.headers.items()}

    def do_GET(self):
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_DELETE = do_GET

    def log_message(self, *_):
        pass


def main():
    transport, path = sys.argv[1:3]
    if transport == "http":
        Handler.path_to_file = os.path.abspath(path)
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(f"listening http://127.0.0.1:{server.server_port}/mcp", flush=True)
        server.serve_forever()
    for line in sys.stdin:
        reply = answer(json.loads(line), path)
        if reply is not None:
            print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
