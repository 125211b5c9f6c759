"""A client made with the Python SDK: `client.py URL legacy|auto`. It lists the tools, calls `echo`,
answers an elicitation, and prints what it got as JSON."""

import asyncio
import json
import sys

from mcp import Client
from mcp_types import ElicitResult


async def elicited(context, params):
    return ElicitResult(action="accept", content={"name": "Ada"})


async def main(url: str, mode: str) -> None:
    progress = []

    async def report(done, total, message):
        progress.append(done)

    async with Client(url, mode=mode, elicitation_callback=elicited) as client:

        async def text(name, arguments):
            return (await client.call_tool(name, arguments)).content[0].text

        resources = (await client.list_resources()).resources
        read = await client.read_resource(resources[0].uri)
        await client.call_tool("test_tool_with_progress", {}, progress_callback=report)
        result = {
            "tools": [tool.name for tool in (await client.list_tools()).tools],
            "resources": [str(resource.uri) for resource in resources],
            "read": read.contents[0].text,
            "echo": await text("echo", {"text": "hello"}),
            "elicited": await text("test_input_required_result_elicitation", {}),
            "progress": progress,
        }
        print(json.dumps(result))


asyncio.run(main(*sys.argv[1:]))
