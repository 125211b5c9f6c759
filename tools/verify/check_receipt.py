#!/usr/bin/env python3
"""Checks a receipt of Bartizan's audit log: check_receipt.py RECEIPT PUBLIC_KEY

RECEIPT: a file in the form of C2SP tlog-proof; PUBLIC_KEY: the text in audit.pub (name+hash+base64).
Needs nothing but Python 3.8 or later. Prints the record when it is proven, or says why it is not.
"""
import hashlib, sys
from base64 import b64decode
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
sha256 = lambda data: hashlib.sha256(data).digest()
sys.excepthook = lambda kind, fault, trace: print("NOT PROVEN: no receipt, or no key:", fault, file=sys.stderr)
def need(condition, why):
    if not condition: sys.exit("NOT PROVEN: " + why)
def point(data):  # RFC 8032, 5.1.3, in extended coordinates
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x * pow(2, (P - 1) // 4, P) % P if (x * x - square) % P else x
    need(y < P and (x * x - square) % P == 0 and not (x == 0 and sign), "not a point of the curve")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P
def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d, e, h = 2 * p[3] * q[3] * D, 2 * p[2] * q[2], b - a, b + a
    f, g = d - c, d + c
    return e * f % P, g * h % P, f * g % P, e * h % P
def times(k, p):
    double = (0, 1, 1, 0) if k == 0 else times(k // 2, add(p, p))
    return add(double, p) if k & 1 else double
def verified(public, message, signature):  # RFC 8032, 5.1.7
    s = int.from_bytes(signature[32:], "little")
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    left = times(s, point((4 * pow(5, -1, P) % P).to_bytes(32, "little")))
    right = add(point(signature[:32]), times(k, point(public)))
    return s < ORDER and all((left[i] * right[2] - right[i] * left[2]) % P == 0 for i in (0, 1))
receipt, (name, key_id, key) = open(sys.argv[1], encoding="utf-8").read(), sys.argv[2].strip().split("+", 2)
key = b64decode(key, validate=True)
need(len(key) == 33 and key[0] == 1 and sha256(name.encode() + b"\n" + key)[:4].hex() == key_id, "the key")
proof, note = receipt.split("\n\n", 1)
text, signatures = note.rsplit("\n\n", 1)
signatures = [line.split(" ") for line in signatures.splitlines()]
signed = [b64decode(s, validate=True) for dash, n, s in signatures if dash == "\u2014" and n == name]
signed = [s[4:] for s in signed if s[:4].hex() == key_id and len(s) == 68]
need(signed and all(verified(key[1:], text.encode() + b"\n", s) for s in signed), "the signature")
origin, size, root = text.split("\n")[:3]
head, extra, index, *hashes = proof.split("\n")
need(head == "c2sp.org/tlog-proof@v1" and extra[:6] == "extra " and index[:6] == "index " and origin == name, "the form")
record, index, last = b64decode(extra[6:], validate=True), int(index[6:]), int(size) - 1
need(0 <= index <= last and record.startswith(b'{"seq":%d,' % (index + 1)), "the record's place")
at, found = index, sha256(b"\0" + record)  # RFC 9162, 2.1.3.2
for hash in (b64decode(h, validate=True) for h in hashes):
    need(last > 0, "the proof is too long")
    left = at & 1 or at == last
    found = sha256(b"\1" + (hash + found if left else found + hash))
    while left and not at & 1 and at: at, last = at >> 1, last >> 1
    at, last = at >> 1, last >> 1
need(last == 0 and found == b64decode(root, validate=True), "the record is not in this log")
print(record.decode())
