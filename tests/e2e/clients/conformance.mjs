// The client that the conformance suite drives: through the gateway, it does whatever the scenario's
// server offers. `node conformance.mjs URL`, with the scenario's name and context in the environment.
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const modules = join(dirname(fileURLToPath(import.meta.url)), "../../../.tests/npm/node_modules");
const sdk = await import(pathToFileURL(join(modules, "@modelcontextprotocol/client/dist/index.mjs")));

const url = process.argv.at(-1);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const context = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");
const stateless = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION === "2026-07-28";

const client = new sdk.Client(
  { name: "bartizan-tests", version: "1.0.0" },
  {
    capabilities: { elicitation: { form: { applyDefaults: true } }, roots: {}, sampling: {} },
    versionNegotiation: { mode: stateless ? { pin: "2026-07-28" } : "legacy" },
  },
);
client.setRequestHandler("elicitation/create", async () => ({ action: "accept", content: {} }));
client.setRequestHandler("roots/list", async () => ({ roots: [] }));
client.setRequestHandler("sampling/createMessage", async () => ({
  role: "assistant",
  model: "none",
  content: { type: "text", text: "Paris" },
}));

// An argument of the right type for each property.
function argumentsFor(schema) {
  const samples = { string: "text", number: 1.5, integer: 1, boolean: true, array: [], object: {} };
  const properties = Object.entries(schema?.properties ?? {});
  return Object.fromEntries(properties.map(([name, property]) => [name, samples[property.type] ?? null]));
}

await client.connect(new sdk.StreamableHTTPClientTransport(new URL(url)));
const offers = client.getServerCapabilities() ?? {};
const { tools } = offers.tools ? await client.listTools() : { tools: [] };

const calls =
  context.toolCalls ?? tools.map((tool) => ({ name: tool.name, arguments: argumentsFor(tool.inputSchema) }));
if (scenario !== "json-schema-ref-no-deref") {
  await Promise.all(calls.map((call) => client.callTool(call)));
}
if (offers.resources) {
  const { resources } = await client.listResources();
  for (const { uri } of resources) await client.readResource({ uri });
}
if (offers.prompts) {
  const { prompts } = await client.listPrompts();
  for (const { name } of prompts) await client.getPrompt({ name });
}
await client.close();
