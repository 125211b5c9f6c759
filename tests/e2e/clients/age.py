"""The auditor's side, by rage's own library. `age.py keygen` prints an identity and its recipient; `age.py open
IDENTITY` opens the file of age on standard input; `age.py seal RECIPIENT` seals it."""

import sys

import pyrage

command, *rest = sys.argv[1:]
if command == "keygen":
    identity = pyrage.x25519.Identity.generate()
    print(identity, identity.to_public())
elif command == "open":
    identity = pyrage.x25519.Identity.from_str(rest[0])
    sys.stdout.buffer.write(pyrage.decrypt(sys.stdin.buffer.read(), [identity]))
elif command == "seal":
    recipient = pyrage.x25519.Recipient.from_str(rest[0])
    sys.stdout.buffer.write(pyrage.encrypt(sys.stdin.buffer.read(), [recipient]))
