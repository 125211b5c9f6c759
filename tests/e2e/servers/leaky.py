"""An MCP server that gives away whatever it was given, wherever a server can say something.

    leaky.py stdio      gives away the variables whose names begin with CANARY
    leaky.py http GRANT prints `listening URL`; gives away headers. At /granted it wants the access token GRANT,
                        which its own token endpoint gives out

Each secret is written in every encoding below. Both eras, no dependencies.
"""

import base64
import json
import os
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STATELESS = "2026-07-28"


def encodings(secret):
    raw = secret.encode()
    escaped = json.dumps(secret)
    return [
        secret,
        *(base64.b64encode(b"x" * shift + raw + b"yz").decode() for shift in range(3)),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
        raw.hex(),
        raw.hex().upper(),
        urllib.parse.quote(secret, safe=""),
        urllib.parse.quote_plus(secret),
        "".join(f"%{byte:02x}" for byte in raw),
        escaped,
        json.dumps(escaped),
        escaped.replace("/", "\\/"),
    ]


def spill(secrets):
    return "\n".join(text for secret in secrets for text in encodings(secret))


def unicode_escaped(text):
    """JSON in which every letter of every text is escaped."""
    return "".join(f"\\u{ord(c):04x}" if c.isalnum() else c for c in text)


def answer(message, secrets, tell):
    """The response to a request, as text; nothing for a notification."""
    if "id" not in message or "method" not in message:
        return None
    method, params, text = message["method"], message.get("params") or {}, spill(secrets)
    meta = params.get("_meta") or {}
    body = {"jsonrpc": "2.0", "id": message["id"]}
    if method == "tools/call" and params["name"] == "fail":
        return json.dumps(body | {"error": {"code": -32000, "message": text, "data": {"x": text}}})
    if method == "tools/call" and params["name"] == "tell":
        data = {"level": "error", "logger": text, "data": {"said": text}}
        tell({"jsonrpc": "2.0", "method": "notifications/message", "params": data})
        if "progressToken" in meta:
            step = {"progressToken": meta["progressToken"], "progress": 1, "message": text}
            tell({"jsonrpc": "2.0", "method": "notifications/progress", "params": step})
    result = respond(method, params, secrets)
    if result is None:
        return json.dumps(body | {"error": {"code": -32601, "message": f"not found: {text}"}})
    if "io.modelcontextprotocol/protocolVersion" in meta:
        result |= {"resultType": "complete"}
    whole = json.dumps(body | {"result": result})
    if method == "tools/call" and params["name"] == "escape":
        for secret in secrets:
            whole = whole.replace(secret, unicode_escaped(secret))
    return whole


def respond(method, params, secrets):
    text = spill(secrets)
    info = {"name": "leaky", "version": "1", "title": text}
    if method == "initialize":
        capabilities = {"logging": {}, "tools": {}, "prompts": {}, "resources": {}}
        return {
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "serverInfo": info,
            "instructions": text,
        }
    if method == "server/discover":
        return {
            "supportedVersions": [STATELESS],
            "capabilities": {"logging": {}, "tools": {}, "prompts": {}, "resources": {}},
            "_meta": {"io.modelcontextprotocol/serverInfo": info},
            "instructions": text,
        }
    if method == "tools/list":
        names = ["say", "fail", "tell", "escape", "refuse", "die"]
        schema = {"type": "object", "description": text}
        tools = [{"name": name, "description": text, "inputSchema": schema} for name in names]
        return {"tools": tools, "ttlMs": 0}
    if method == "prompts/list":
        return {"prompts": [{"name": "p", "description": text}], "ttlMs": 0}
    if method == "resources/list":
        return {"resources": [{"uri": "x://r", "name": "r", "description": text}], "ttlMs": 0}
    if method == "resources/templates/list":
        template = {"uriTemplate": "x://{a}", "name": "t", "description": text}
        return {"resourceTemplates": [template], "ttlMs": 0}
    if method == "prompts/get":
        return {"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}
    if method == "resources/read":
        return {"contents": [{"uri": params["uri"], "text": text}]}
    if method == "completion/complete":
        return {"completion": {"values": [text]}}
    if method == "tools/call":
        data = base64.b64encode(json.dumps(secrets).encode()).decode()
        content = [
            {"type": "text", "text": text},
            {"type": "image", "data": data, "mimeType": "image/png"},
            {"type": "resource", "resource": {"uri": "x://y", "text": text}},
        ]
        return {"content": content, "structuredContent": {"deep": [{"x": text}]}, "_meta": {"x": text}}
    return {} if method in ("ping", "logging/setLevel") else None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    grant = ""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/token":
            return self.say({"access_token": self.grant, "token_type": "bearer", "expires_in": 3600})
        if self.path == "/granted" and self.headers["Authorization"] != f"Bearer {self.grant}":
            return self.challenge()
        message = json.loads(body)
        secrets = []
        for name in ("Authorization", "X-Api-Key"):
            secrets += [value.split(" ")[-1] for value in self.headers.get_all(name) or []]
        params = message.get("params") or {}
        if message.get("method") == "tools/call" and params["name"] == "refuse":
            return self.refuse(spill(secrets))
        told = []
        reply = answer(message, secrets, told.append)
        if reply is None:
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        stream = "".join(f"data: {text}\n\n" for text in [*map(json.dumps, told), reply]).encode()
        # No chunk has a whole secret in it.
        for at in range(0, len(stream), 11):
            part = stream[at : at + 11]
            self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            if at % 1100 == 0:
                self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        return None

    def base(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def say(self, document):
        text = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def challenge(self):
        metadata = f"{self.base()}/.well-known/oauth-protected-resource/granted"
        self.send_response(401)
        self.send_header("WWW-Authenticate", f'Bearer resource_metadata="{metadata}"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def refuse(self, text):
        self.send_response(500)
        self.send_header("X-Reason", text.replace("\n", " "))
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        base = self.base()
        if self.path.startswith("/.well-known/oauth-protected-resource"):
            return self.say({"resource": f"{base}/granted", "authorization_servers": [base]})
        if self.path.startswith("/.well-known/oauth-authorization-server"):
            return self.say(
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "response_types_supported": ["code"],
                    "grant_types_supported": ["client_credentials"],
                    "code_challenge_methods_supported": ["S256"],
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                }
            )
        return self.do_DELETE()

    def do_DELETE(self):
        self.send_response(405)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main():
    if sys.argv[1] == "http":
        Handler.grant = sys.argv[2]
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        print(f"listening http://127.0.0.1:{server.server_port}/mcp", flush=True)
        server.serve_forever()
    secrets = [value for name, value in os.environ.items() if name.startswith("CANARY")]
    print(spill(secrets), file=sys.stderr, flush=True)
    for line in sys.stdin:
        message = json.loads(line)
        params = message.get("params") or {}
        if message.get("method") == "tools/call" and params["name"] == "die":
            print(f"dying of {spill(secrets)}", file=sys.stderr, flush=True)
            sys.exit(1)
        reply = answer(message, secrets, lambda told: print(json.dumps(told), flush=True))
        if reply is not None:
            print(reply, flush=True)


if __name__ == "__main__":
    main()
