"""What mcp-etdi 1.0.1 signs: a tool provider's definition, and calls of it.

    etdi.py FOLDER define      writes FOLDER/provider.pem and prints the signed definition
    etdi.py FOLDER call JSON   prints the headers of a signed call with these parameters

The package asks for its own version under the name `mcp`, which is not what it is published as.
"""

import asyncio
import importlib.metadata
import json
import pathlib
import sys

published = importlib.metadata.version
importlib.metadata.version = lambda name: published("mcp-etdi" if name == "mcp" else name)

from mcp.etdi.crypto.key_manager import KeyManager  # noqa: E402
from mcp.etdi.crypto.request_signer import RequestSigner  # noqa: E402
from mcp.etdi.server.tool_provider import ToolProvider  # noqa: E402
from mcp.etdi.types import Permission  # noqa: E402

TOOL = "secure-docs-scanner"
SCHEMA = {"type": "object", "properties": {"doc": {"type": "string"}, "n": {"type": "number", "default": 1.0}}}


async def define(keys):
    pair = keys.get_or_create_key_pair("provider")
    private, _ = pair.to_pem()
    provider = ToolProvider("trustedsoft", "TrustedSoft Inc.", private_key=private.decode())
    scan = Permission(name="scan", description="Scan", scope="document:scan", required=True)
    tool = await provider.register_tool(
        TOOL, TOOL, "1.2.0", "Scans documents \N{EM DASH} na\u00efvely", SCHEMA, [scan], use_oauth=False
    )
    return tool.to_dict()


def main():
    folder, what = pathlib.Path(sys.argv[1]), sys.argv[2]
    keys = KeyManager(str(folder / "keys"))
    if what == "define":
        print(json.dumps(asyncio.run(define(keys))))
        (folder / "provider.pem").write_text(keys.export_public_key("provider"))
    else:
        signer = RequestSigner(keys, "provider")
        print(json.dumps(signer.sign_tool_invocation(TOOL, json.loads(sys.argv[3]))))


main()
