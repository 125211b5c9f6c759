// A client made with the TypeScript SDK: `node client.mjs URL legacy|auto`. It lists the tools,
// calls `echo`, answers an elicitation, and prints what it got as JSON.
import { module } from "./modules.mjs";

const sdk = await module("@modelcontextprotocol/client/dist/index.mjs");

const [url, mode] = process.argv.slice(2);
const client = new sdk.Client(
  { name: "bartizan-tests", version: "1.0.0" },
  { capabilities: { elicitation: {} }, versionNegotiation: { mode } },
);
client.setRequestHandler("elicitation/create", async () => ({ action: "accept", content: { name: "Ada" } }));
await client.connect(new sdk.StreamableHTTPClientTransport(new URL(url)));

const text = async (name, args) => (await client.callTool({ name, arguments: args })).content[0].text;
const { tools } = await client.listTools();
const { resources } = await client.listResources();
const progress = [];
const slow = { name: "test_tool_with_progress", arguments: {} };
await client.callTool(slow, { onprogress: (report) => progress.push(report.progress) });
console.log(
  JSON.stringify({
    tools: tools.map((tool) => tool.name),
    resources: resources.map((resource) => resource.uri),
    read: (await client.readResource({ uri: resources[0].uri })).contents[0].text,
    echo: await text("echo", { text: "hello" }),
    elicited: await text("test_input_required_result_elicitation", {}),
    progress,
  }),
);
await client.close();
