"""A witness of C2SP tlog-witness for one log: witness.py AUDIT_PUB. It prints its address and its key."""

import base64
import hashlib
import http.server
import sys
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NAME = "witness.example/python"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TYPED = b"\x04" + PRIVATE.public_key().public_bytes_raw()
ID = hashlib.sha256(NAME.encode() + b"\n" + TYPED).digest()[:4]
KNOWN = {"size": 0, "root": b""}


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def consistent(old, old_root, new, new_root, proof):
    """RFC 9162, 2.1.4.2."""
    if old == 0:
        return not proof
    if old == new:
        return not proof and old_root == new_root
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    first, second = old - 1, new - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    if not path:
        return False
    left = right = path[0]
    for one in path[1:]:
        if second == 0:
            return False
        if first & 1 or first == second:
            left, right = node(one, left), node(one, right)
            while first & 1 == 0 and first:
                first, second = first >> 1, second >> 1
        else:
            right = node(right, one)
        first, second = first >> 1, second >> 1
    return left == old_root and right == new_root and second == 0


def signed_by_log(text, signatures):
    name, _, typed = open(sys.argv[1]).read().strip().split("+", 2)
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(typed)[1:])
    for line in signatures.splitlines():
        _, signer, signature = line.split(" ")
        if signer == name:
            public.verify(base64.b64decode(signature)[4:], text.encode())
            return True
    return False


def add(body):
    proof, note = body.split("\n\n", 1)
    old, *hashes = proof.split("\n")
    old = int(old.removeprefix("old "))
    text, signatures = note.split("\n\n", 1)
    text += "\n"
    if not signed_by_log(text, signatures):
        return 403, ""
    if old != KNOWN["size"]:
        return 409, f"{KNOWN['size']}\n"
    _, size, root, *_ = text.split("\n")
    size, root = int(size), base64.b64decode(root)
    if not consistent(old, KNOWN["root"], size, root, [base64.b64decode(one) for one in hashes]):
        return 422, ""
    KNOWN.update(size=size, root=root)
    now = int(time.time())
    signature = PRIVATE.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
    whole = base64.b64encode(ID + now.to_bytes(8, "big") + signature).decode()
    return 200, f"\u2014 {NAME} {whole}\n"


class Witness(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        assert self.path == "/w/add-checkpoint", self.path
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        status, answer = add(body)
        self.send_response(status)
        self.send_header("content-length", str(len(answer.encode())))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", 0), Witness)
key = f"{NAME}+{ID.hex()}+{base64.b64encode(TYPED).decode()}"
print(f"listening http://127.0.0.1:{server.server_port}/w {key}", flush=True)
server.serve_forever()
