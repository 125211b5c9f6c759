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

// Opens the link that the gateway answers with, as a person's browser would.
async function signIn(link) {
  const page = await fetch(link);
  const cookie = page.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  const question = (await page.text()).match(/name="question" value="([^"]+)"/)[1];
  const headers = { cookie, origin: new URL(link).origin };
  const body = new URLSearchParams({ question });
  const next = await (await fetch(link, { method: "POST", headers, body })).text();
  const onward = next.match(/class="button primary" href="([^"]+)"/);
  if (!onward) throw new Error(`the gateway does not go on: ${next}`);
  const answer = await fetch(onward[1].replaceAll("&#38;", "&").replaceAll("&amp;", "&"), { redirect: "manual" });
  const done = await fetch(answer.headers.get("location"), { headers: { cookie } });
  if (!done.ok) throw new Error(`the gateway took no grant: ${await done.text()}`);
}

// Does something, signing in where the gateway says so.
async function signedIn(act) {
  for (let round = 0; round < 4; round++) {
    try {
      return await act();
    } catch (error) {
      const link = String(error.message).match(/open (http\S+)/);
      if (!link) throw error;
      await signIn(link[1]);
    }
  }
  throw new Error("signed in four times");
}

await signedIn(() => client.connect(new sdk.StreamableHTTPClientTransport(new URL(url))));
const offers = client.getServerCapabilities() ?? {};
const { tools } = offers.tools ? await signedIn(() => client.listTools()) : { tools: [] };

const calls =
  context.toolCalls ?? tools.map((tool) => ({ name: tool.name, arguments: argumentsFor(tool.inputSchema) }));
if (scenario !== "json-schema-ref-no-deref") {
  if (scenario.startsWith("auth/")) {
    for (const call of calls) await signedIn(() => client.callTool(call));
  } else {
    await Promise.all(calls.map((call) => client.callTool(call)));
  }
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
