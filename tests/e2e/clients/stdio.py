"""A client of a program that speaks MCP on its standard input and output: `stdio.py legacy|auto
COMMAND ARGS…`. It calls `echo`, answers an elicitation, and prints what it got as JSON."""

import asyncio
import json
import os
import sys

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitResult


async def elicited(context, params):
    return ElicitResult(action="accept", content={"name": "Ada"})


async def main(mode: str, command: str, *arguments: str) -> None:
    server = StdioServerParameters(command=command, args=list(arguments), env=dict(os.environ))
    async with Client(server, mode=mode, elicitation_callback=elicited) as client:

        async def text(name, arguments):
            return (await client.call_tool(name, arguments)).content[0].text

        result = {
            "tools": [tool.name for tool in (await client.list_tools()).tools],
            "echo": await text("echo", {"text": "hello"}),
            "elicited": await text("test_input_required_result_elicitation", {}),
        }
        print(json.dumps(result))


asyncio.run(main(*sys.argv[1:]))
