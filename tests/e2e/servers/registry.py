"""A registry of npm packages and a Python index in one, with one package each that is an MCP server.

    registry.py FOLDER      prints `listening URL`; FOLDER/version is the version that it has, read anew each time

The npm package `greeter` greets by its version, and so does the Python package `greeter-py`. No dependencies.
"""

import base64
import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NODE = """#!/usr/bin/env node
const lines = require('readline').createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const { id, method } = JSON.parse(line);
  const results = {
    initialize: { protocolVersion: '2025-11-25', capabilities: { tools: {} }, serverInfo: { name: 'greeter', version: '1' } },
    'tools/list': { tools: [{ name: 'greet', inputSchema: { type: 'object' } }] },
    'tools/call': { content: [{ type: 'text', text: 'npm VERSION' }] },
  };
  if (id === undefined) return;
  const result = results[method];
  const body = result ? { result } : { error: { code: -32601, message: 'Method not found' } };
  console.log(JSON.stringify({ jsonrpc: '2.0', id, ...body }));
});
"""

PYTHON = """
import json, sys

RESULTS = {
    "initialize": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "greeter", "version": "1"}},
    "tools/list": {"tools": [{"name": "greet", "inputSchema": {"type": "object"}}]},
    "tools/call": {"content": [{"type": "text", "text": "pypi VERSION"}]},
}

def main():
    for line in sys.stdin:
        message = json.loads(line)
        if "id" in message:
            result = RESULTS.get(message["method"])
            body = {"result": result} if result else {"error": {"code": -32601, "message": "Method not found"}}
            print(json.dumps({"jsonrpc": "2.0", "id": message["id"]} | body), flush=True)
"""


def tarball(version):
    manifest = {"name": "greeter", "version": version, "bin": {"greeter": "index.js"}}
    files = {"package/package.json": json.dumps(manifest), "package/index.js": NODE.replace("VERSION", version)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(text), 0o755
            tar.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(out.getvalue(), mtime=0)


def wheel(version):
    info = f"greeter_py-{version}.dist-info"
    files = {
        "greeter_py.py": PYTHON.replace("VERSION", version),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: greeter-py\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: here\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ngreeter-py = greeter_py:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text)
    return out.getvalue()


def bundle(version):
    server = {"type": "python", "entry_point": "server/main.py",
              "mcp_config": {"command": "python3", "args": [], "env": {"PYTHONPATH": "${__dirname}/lib"}}}
    files = {
        "manifest.json": json.dumps({"name": "greeter", "version": version, "server": server}),
        "server/main.py": "import greeter_py\ngreeter_py.main()\n",
        "lib/greeter_py.py": PYTHON.replace("pypi VERSION", f"mcpb {version}"),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), text)
    return out.getvalue()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        # What was published stays: each version up to the one of now.
        now = int((self.server.folder / "version").read_text())
        versions = [f"1.0.{number}" for number in range(now + 1)]
        path = self.path.split("?")[0]
        name = path.rsplit("/", 1)[1]
        if path == "/greeter":
            def version(number):
                digest = base64.b64encode(hashlib.sha512(tarball(number)).digest()).decode()
                dist = {"tarball": f"{self.server.url}/-/greeter-{number}.tgz", "integrity": f"sha512-{digest}"}
                return {"name": "greeter", "version": number, "bin": {"greeter": "index.js"}, "dist": dist}
            body = {"name": "greeter", "dist-tags": {"latest": versions[-1]}, "versions": {v: version(v) for v in versions}}
            self.reply("application/json", json.dumps(body).encode())
        elif path == "/simple/greeter-py/":
            link = '<a href="/files/{0}#sha256={1}">{0}</a>'
            names = [(f"greeter_py-{v}-py3-none-any.whl", v) for v in versions]
            links = [link.format(file, hashlib.sha256(wheel(v)).hexdigest()) for file, v in names]
            self.reply("text/html", f"<!doctype html><html><body>{''.join(links)}</body></html>".encode())
        elif path.startswith("/v0/servers/"):
            # What the registry says of a server, whose package is the last part of the path.
            files = {"mcpb": f"{self.server.url}/old/greeter.mcpb", "npm": "greeter", "pypi": "greeter-py"}
            package = {"registryType": name, "identifier": files[name], "version": versions[-1],
                       "transport": {"type": "stdio"}}
            # FOLDER/doubted: it says of every package what none has.
            doubted = (self.server.folder / "doubted").exists()
            made = {"mcpb": bundle, "npm": tarball, "pypi": wheel}[name]
            package["fileSha256"] = hashlib.sha256(made("6.6.6" if doubted else versions[-1])).hexdigest()
            document = {"name": "test/greeter", "version": versions[-1], "packages": [package]}
            self.reply("application/json", json.dumps({"server": document, "_meta": {}}).encode())
        elif path == "/old/greeter.mcpb":
            self.reply("text/plain", b"", 302, f"{self.server.url}/greeter.mcpb")
        elif path == "/greeter.mcpb":
            swapped = (self.server.folder / "swapped").exists()
            self.reply("application/zip", bundle("6.6.6" if swapped else versions[-1]))
        elif name.endswith(".tgz"):
            self.reply("application/octet-stream", tarball(name.removeprefix("greeter-").removesuffix(".tgz")))
        elif name.endswith(".whl"):
            self.reply("application/octet-stream", wheel(name.split("-")[1]))
        else:
            self.reply("text/plain", b"no such package", 404)

    do_HEAD = do_GET

    def reply(self, kind, body, status=200, location=None):
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.folder, server.url = pathlib.Path(sys.argv[1]), f"http://127.0.0.1:{server.server_port}"
    print(f"listening {server.url}", flush=True)
    server.serve_forever()


main()
