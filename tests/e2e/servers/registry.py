"""A registry of one npm package and one Python package, on 127.0.0.1. Prints its address.

Both packages are the same MCP server: it has one tool, which says the package's version.
`POST /release` puts version 2.0.0 beside 1.0.0.
"""

import base64
import hashlib
import http.server
import io
import json
import tarfile
import zipfile

NODE = """#!/usr/bin/env node
const VERSION = "%s";
const lines = require("readline").createInterface({ input: process.stdin });
const say = (id, result) => console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
lines.on("line", (line) => {
  const { id, method, params } = JSON.parse(line);
  if (id === undefined) return;
  const info = { name: "tiny", version: VERSION };
  const tool = { name: "version", inputSchema: { type: "object" } };
  if (method === "initialize") {
    say(id, { protocolVersion: "2025-11-25", capabilities: { tools: {} }, serverInfo: info });
  } else if (method === "tools/list") say(id, { tools: [tool] });
  else if (method === "tools/call") say(id, { content: [{ type: "text", text: VERSION }] });
  else console.log(JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32601, message: "no" } }));
});
"""

PYTHON = """
import json, sys

VERSION = "%s"

def main():
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message:
            continue
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        method = message["method"]
        if method == "initialize":
            info = {"name": "tiny", "version": VERSION}
            answer["result"] = {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": info}
        elif method == "tools/list":
            answer["result"] = {"tools": [{"name": "version", "inputSchema": {"type": "object"}}]}
        elif method == "tools/call":
            answer["result"] = {"content": [{"type": "text", "text": VERSION}]}
        else:
            answer["error"] = {"code": -32601, "message": "no"}
        print(json.dumps(answer), flush=True)
"""


def tarball(version):
    manifest = {"name": "tiny-mcp", "version": version, "bin": "./server.js",
                "scripts": {"install": "echo ran > /tmp/ran; exit 1"}}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in (("package.json", json.dumps(manifest)), ("server.js", NODE % version)):
            entry = tarfile.TarInfo("package/" + name)
            entry.size = len(text)
            entry.mode = 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


def wheel(version):
    folder = f"tiny_mcp-{version}.dist-info"
    files = {
        "tiny_mcp.py": PYTHON % version,
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: tiny-mcp\nVersion: {version}\n",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{folder}/entry_points.txt": "[console_scripts]\ntiny-mcp = tiny_mcp:main\n",
    }
    record = ""
    for name, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\n"
    files[f"{folder}/RECORD"] = record + f"{folder}/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


class Registry(http.server.BaseHTTPRequestHandler):
    versions = ["1.0.0"]
    asked = []

    def answer(self, body, kind="application/octet-stream", status=200):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        Registry.versions.append("2.0.0")
        self.answer(b"")

    def do_GET(self):
        here = f"http://{self.headers['host']}"
        path = self.path.split("?")[0]
        if path == "/npm/tiny-mcp":
            versions = {}
            for version in self.versions:
                data = tarball(version)
                integrity = "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()
                dist = {"tarball": f"{here}/npm/tiny-mcp-{version}.tgz", "integrity": integrity}
                versions[version] = {"name": "tiny-mcp", "version": version, "bin": "./server.js",
                                     "hasInstallScript": True, "dist": dist}
            body = {"name": "tiny-mcp", "versions": versions, "dist-tags": {"latest": self.versions[-1]}}
            self.answer(json.dumps(body).encode(), "application/json")
        elif path == "/simple/tiny-mcp/":
            links = ""
            for version in self.versions:
                digest = hashlib.sha256(wheel(version)).hexdigest()
                name = f"tiny_mcp-{version}-py3-none-any.whl"
                links += f'<a href="/files/{name}#sha256={digest}">{name}</a>\n'
            self.answer(f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")
        elif path.endswith(".tgz"):
            self.answer(TARBALLS[path.rsplit("-", 1)[1][:-4]])
        elif path.endswith(".whl"):
            self.answer(WHEELS[path.split("-")[1]])
        else:
            self.answer(b"", status=404)

    def log_message(self, *_):
        pass


# A compressed file holds the time: made once.
TARBALLS = {version: tarball(version) for version in ("1.0.0", "2.0.0")}
WHEELS = {version: wheel(version) for version in ("1.0.0", "2.0.0")}
tarball, wheel = TARBALLS.__getitem__, WHEELS.__getitem__

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
