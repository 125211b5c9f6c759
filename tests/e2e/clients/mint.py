"""Access tokens of an issuer that is nobody's.

    mint.py FOLDER JSON    writes FOLDER/jwks.json and prints a token for each set of claims
"""

import json
import pathlib
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

key = ec.generate_private_key(ec.SECP256R1())
public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key()))
keys = {"keys": [public | {"kid": "k", "use": "sig", "alg": "ES256"}]}
(pathlib.Path(sys.argv[1]) / "jwks.json").write_text(json.dumps(keys))
now = int(time.time())
common = {"iss": "https://id.example", "sub": "ada", "aud": "bartizan", "iat": now, "exp": now + 600}
print(json.dumps([jwt.encode(common | more, key, "ES256", {"kid": "k"}) for more in json.loads(sys.argv[2])]))
