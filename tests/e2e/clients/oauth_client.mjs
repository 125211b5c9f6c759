// A client made with the TypeScript SDK that signs in when it is asked to: `node oauth_client.mjs URL OPTIONS`. It is used as
// oauth_client.py is.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { module } from "./modules.mjs";

const sdk = await module("@modelcontextprotocol/client/dist/index.mjs");
const [url, text] = process.argv.slice(2);
const options = JSON.parse(text);

const answers = [];
let waiting = null;
const callback = createServer((request, response) => {
  const asked = new URL(request.url, "http://127.0.0.1");
  response.end("<p>You may close this window.");
  if (asked.pathname !== "/callback") return;
  if (waiting) waiting(asked.searchParams);
  else answers.push(asked.searchParams);
});
await new Promise((listening) => callback.listen(options.port ?? 0, "127.0.0.1", listening));
const redirect = `http://127.0.0.1:${callback.address().port}/callback`;
const returned = () =>
  answers.length ? answers.shift() : new Promise((resolve) => (waiting = (got) => ((waiting = null), resolve(got))));

const memory = { client: options.client && { client_id: options.client } };
const provider = {
  redirectUrl: redirect,
  clientMetadataUrl: options.metadata,
  clientMetadata: {
    client_name: "TypeScript client",
    redirect_uris: [redirect],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
    application_type: "native",
    ...(options.scope && { scope: options.scope }),
  },
  state: () => crypto.randomUUID(),
  clientInformation: () => memory.client,
  saveClientInformation: (client) => void (memory.client = client),
  tokens: () => memory.tokens,
  saveTokens: (tokens) => void (memory.tokens = tokens),
  saveCodeVerifier: (verifier) => void (memory.verifier = verifier),
  codeVerifier: () => memory.verifier,
  saveDiscoveryState: (state) => void (memory.discovery = state),
  discoveryState: () => memory.discovery,
  redirectToAuthorization: (url) => void console.error(`visit ${url}`),
  invalidateCredentials: (scope) => {
    if (scope === "all" || scope === "tokens") memory.tokens = undefined;
    if (scope === "all" || scope === "client") memory.client = undefined;
    if (scope === "all" || scope === "discovery") memory.discovery = undefined;
  },
};

let transport;
let client;
// The SDK stops where a person is needed; afterwards the application tries again.
const signingIn = async (action) => {
  try {
    return await action();
  } catch (fault) {
    if (!(fault instanceof sdk.UnauthorizedError) && fault?.cause?.name !== "UnauthorizedError") throw fault;
    const got = await returned();
    if (got.has("error")) throw new Error(`the sign-in ended with ${got.get("error")}`);
    await transport.finishAuth(got);
    return await action();
  }
};
const connect = async () => {
  client = new sdk.Client({ name: "bartizan-tests", version: "1.0.0" }, { versionNegotiation: { mode: options.mode ?? "auto" } });
  transport = new sdk.StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  await client.connect(transport);
};
await signingIn(connect);
console.log(JSON.stringify("ready"));

for await (const line of createInterface({ input: process.stdin })) {
  const [what, name, ...rest] = line.split(" ");
  try {
    const got =
      what === "tools"
        ? (await signingIn(() => client.listTools())).tools.map((tool) => tool.name)
        : what === "call"
          ? (await signingIn(() => client.callTool({ name, arguments: JSON.parse(rest.join(" ")) }))).content[0].text
          : memory.tokens;
    console.log(JSON.stringify(got));
  } catch (fault) {
    console.log(JSON.stringify({ fault: `${fault.name}: ${fault.message}` }));
  }
}
process.exit(0);
