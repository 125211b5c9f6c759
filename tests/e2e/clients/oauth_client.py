"""A client made with the Python SDK that signs in when it is asked to: `oauth_client.py URL OPTIONS`.

It says `visit URL` on standard error when a person must open a page. Each line of standard input is a command, and each
is answered with a line of JSON: `tools`, `call NAME ARGUMENTS`, `tokens`. Options, as JSON: `mode`; `scope`;
`metadata`, the URL of its client ID metadata document; `port` for its callback; `client`, what it was registered as."""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata

url, options = sys.argv[1], json.loads(sys.argv[2])


class Memory:
    tokens = None
    client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def listen():
    """The client's own end of the sign-in: a port on the loopback."""
    answers = asyncio.Queue()

    async def answer(reader, writer):
        line = (await reader.readline()).decode().split(" ")
        body = "<p>You may close this window."
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()
        if len(line) > 1 and line[1].startswith("/callback"):
            await answers.put({name: values[0] for name, values in parse_qs(urlsplit(line[1]).query).items()})

    server = await asyncio.start_server(answer, "127.0.0.1", options.get("port", 0))
    return answers, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/callback"


async def main():
    answers, redirect = await listen()
    memory = Memory()

    async def visit(url):
        print(f"visit {url}", file=sys.stderr, flush=True)

    async def returned():
        got = await answers.get()
        if "error" in got:
            raise RuntimeError(f"the sign-in ended with {got['error']}")
        return AuthorizationCodeResult(code=got["code"], state=got.get("state"), iss=got.get("iss"))

    metadata = OAuthClientMetadata(
        client_name="Python client", redirect_uris=[redirect], scope=options.get("scope"), token_endpoint_auth_method="none"
    )
    if "client" in options:
        known = {**metadata.model_dump(), "client_id": options["client"], "issuer": options.get("issuer")}
        memory.client = OAuthClientInformationFull(**known)
    provider = OAuthClientProvider(url, metadata, memory, visit, returned, options.get("metadata"))
    async with httpx2.AsyncClient(auth=provider, timeout=60) as web:
        async with Client(streamable_http_client(url, http_client=web), mode=options.get("mode", "auto")) as client:
            await commands(client, memory)


async def commands(client, memory):
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps("ready"), flush=True)
    while line := (await reader.readline()).decode().strip():
        what, _, rest = line.partition(" ")
        try:
            if what == "tools":
                got = [tool.name for tool in (await client.list_tools()).tools]
            elif what == "call":
                name, _, arguments = rest.partition(" ")
                got = (await client.call_tool(name, json.loads(arguments))).content[0].text
            elif what == "tokens":
                got = memory.tokens.model_dump(mode="json")
            print(json.dumps(got), flush=True)
        except Exception as fault:
            print(json.dumps({"fault": f"{type(fault).__name__}: {fault}"}), flush=True)


asyncio.run(main())
