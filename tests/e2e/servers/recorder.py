"""A web server with a certificate of its own authority, which keeps what it is shown.

    recorder.py FOLDER      writes FOLDER/ca.pem, prints `listening URL`; appends each Authorization to FOLDER/shown

Over TLS at 127.0.0.2. It answers with what it was shown, as a host does that repeats secrets in its error pages.
"""

import datetime
import ipaddress
import pathlib
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ADDRESS = "127.0.0.2"
FOLDER = pathlib.Path(sys.argv[1])


def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def certificate(name, key, issuer, issuer_key, authority):
    named = lambda text: x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])  # noqa: E731
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        address = x509.IPAddress(ipaddress.ip_address(ADDRESS))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        shown = self.headers.get("Authorization", "")
        with open(FOLDER / "shown", "a", encoding="utf-8") as file:
            file.write(f"{self.path} {shown}\n")
        body = f"you showed {shown}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_):
        pass


def main():
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = certificate("an authority", authority, "an authority", authority, True)
    leaf = certificate("a server", key, "an authority", authority, False)
    encoding = serialization.Encoding.PEM
    (FOLDER / "ca.pem").write_bytes(root.public_bytes(encoding))
    (FOLDER / "server.pem").write_bytes(leaf.public_bytes(encoding) + pem(key))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "server.pem")
    server = ThreadingHTTPServer((ADDRESS, 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(f"listening https://{ADDRESS}:{server.server_port}", flush=True)
    server.serve_forever()


main()
