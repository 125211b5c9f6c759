"""Takes alerts: a mail server and a webhook, which checks signatures as standardwebhooks.com says.

python alarm.py HTTP_PORT SMTP_PORT SECRET [MODE CERT KEY]. MODE is how mail is encrypted, `implicit` or
`start-tls`; then it is taken in no other way. The webhook answers its first request with 500. GET /hooks and
GET /mails give what came.
"""

import base64
import email
import hashlib
import hmac
import json
import ssl
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller

http_port, smtp_port, secret = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
hooks, mails, failed = [], [], []


class Mailbox:
    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content)
        mails.append({
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": message["subject"],
            "id": message["message-id"],
            "body": message.get_payload(decode=True).decode(),
        })
        return "250 taken"


class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        signed = b".".join([self.headers[f"webhook-{name}"].encode() for name in ("id", "timestamp")] + [body])
        tag = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
        if not failed:
            failed.append(True)
            return self.answer(500, {})
        hooks.append({
            "id": self.headers["webhook-id"],
            "signed": hmac.compare_digest(self.headers["webhook-signature"], f"v1,{tag}"),
            "alert": json.loads(body)["data"],
        })
        self.answer(204, None)

    def do_GET(self):
        self.answer(200, {"/hooks": hooks, "/mails": mails}[self.path])

    def answer(self, status, value):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if len(sys.argv) > 4:
    mode, cert, key = sys.argv[4:]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    tls = {"ssl_context": context} if mode == "implicit" else {"tls_context": context, "require_starttls": True}
else:
    tls = {}
Controller(Mailbox(), hostname="127.0.0.1", port=smtp_port, server_hostname="localhost", **tls).start()
server = ThreadingHTTPServer(("127.0.0.1", http_port), Hook)
print("ready", flush=True)
server.serve_forever()
