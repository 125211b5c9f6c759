"""Asks api.test with the placeholder as a bearer's token, and prints the answer."""

import os
import sys

BEARER = "Bearer " + os.environ["TOKEN"]


def by_requests():
    import requests

    return requests.get("https://api.test/", headers={"Authorization": BEARER}, timeout=30).text


def by_httpx():
    import httpx

    return httpx.get("https://api.test/", headers={"Authorization": BEARER}, timeout=30).text


def by_grpc():
    import grpc

    plain = lambda message: message
    with open(os.environ["GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"], "rb") as roots:
        credentials = grpc.ssl_channel_credentials(roots.read())
    with grpc.secure_channel("api.test:443", credentials) as channel:
        call = channel.unary_unary("/grpc.Echo/Say", plain, plain)
        return call(b"question", timeout=30, metadata=[("authorization", BEARER)]).decode()


if __name__ == "__main__":
    print({"requests": by_requests, "httpx": by_httpx, "grpc": by_grpc}[sys.argv[1]]())
