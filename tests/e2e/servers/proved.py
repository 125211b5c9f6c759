"""An MCP server, of both eras, that lets in only who proves themselves in the way that it is told:

    proved.py query NAME VALUE                        the query has this parameter, once
    proved.py aws REGION SERVICE ACCESS SECRET TOKEN  botocore, AWS's own library, makes the same signature
    proved.py tls FOLDER                              a client certificate of `clients.pem`; it is `server.pem` itself

Prints `listening URL`. Its one tool, `who`, says who that was.
"""

import hashlib
import json
import re
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


def by_query(handler, _body):
    name, value = sys.argv[2:4]
    found = [theirs for key, theirs in parse_qsl(urlsplit(handler.path).query) if key.lower() == name]
    return value if found == [value] else None


def by_signature(handler, body):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    region, service, access, secret, token = sys.argv[2:7]
    shown = handler.headers["Authorization"] or ""
    parts = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(.*?)/(\d{8})/(.*), SignedHeaders=(.*), Signature=(.*)", shown
    )
    if not parts or handler.headers["X-Amz-Content-Sha256"] != hashlib.sha256(body).hexdigest():
        return None
    signed = {name: handler.headers[name] for name in parts[4].split(";")}
    if not {"content-type", "host", "x-amz-date", "x-amz-security-token"} <= signed.keys():
        return None
    url = f"http://{handler.headers['Host']}{handler.path}"
    request = AWSRequest(handler.command, url, headers=signed, data=body)
    request.context["timestamp"] = handler.headers["X-Amz-Date"]
    signer = SigV4Auth(Credentials(access, secret, token), service, region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    wanted = (access, f"{region}/{service}/aws4_request", signer.signature(text, request), token)
    return access if (parts[1], parts[3], parts[5], signed["x-amz-security-token"]) == wanted else None


def by_certificate(handler, _body):
    subject = handler.connection.getpeercert()["subject"]
    return dict(pair for names in subject for pair in names)["commonName"]


PROOF = {"query": by_query, "aws": by_signature, "tls": by_certificate}[sys.argv[1]]
INFO = {"name": "proved", "version": "1"}


def respond(method, who):
    if method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": INFO}
    if method == "server/discover":
        return {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "serverInfo": INFO}
    if method == "tools/list":
        return {"tools": [{"name": "who", "inputSchema": {"type": "object"}}], "ttlMs": 0}
    if method == "tools/call":
        return {"content": [{"type": "text", "text": f"it is {who[:4]}, {len(who)} letters"}]}
    return {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        who = PROOF(self, body)
        message = json.loads(body)
        if who is None:
            return self.say(401, {"error": "not proved"})
        if "id" not in message:
            return self.say(202, None)
        result = respond(message["method"], who)
        if "io.modelcontextprotocol/protocolVersion" in (message.get("params") or {}).get("_meta", {}):
            result |= {"resultType": "complete"}
        self.say(200, {"jsonrpc": "2.0", "id": message["id"], "result": result})

    def do_GET(self):
        self.say(405, None)

    def say(self, status, body):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
scheme, path = "http", "/a%20b/mcp?x=1&y"
if sys.argv[1] == "tls":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{sys.argv[2]}/server.pem", f"{sys.argv[2]}/server.key")
    context.load_verify_locations(f"{sys.argv[2]}/clients.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "https"
print(f"listening {scheme}://localhost:{server.server_port}{path}", flush=True)
server.serve_forever()
