// A real OpenID Connect provider: `node provider.mjs REDIRECT_URI`. Every password is right. A line `disable NAME` on standard
// input ends somebody's account.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { module } from "./modules.mjs";

const { default: Provider } = await module("oidc-provider/lib/index.js");
const [redirect] = process.argv.slice(2);
const disabled = new Set();
const groups = { alice: ["admins", "users"], bob: ["users"] };

const configuration = {
  clients: [
    {
      client_id: "bartizan",
      client_secret: "the-gateways-own-secret-at-the-provider",
      redirect_uris: [redirect],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "client_secret_post",
    },
  ],
  claims: { openid: ["sub", "groups"], profile: ["name"], email: ["email"] },
  conformIdTokenClaims: false,
  cookies: { keys: ["a key of the tests"] },
  findAccount: (_, id) =>
    disabled.has(id)
      ? undefined
      : { accountId: id, claims: () => ({ sub: id, name: id, email: `${id}@example.com`, groups: groups[id] ?? [] }) },
  issueRefreshToken: () => true,
  pkce: { required: () => true },
  ttl: { AccessToken: 3600, IdToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600 },
};

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://localhost:${server.address().port}`;
  server.on("request", new Provider(issuer, configuration).callback());
  console.log(`listening ${issuer}`);
});
createInterface({ input: process.stdin }).on("line", (line) => {
  disabled.add(line.split(" ")[1]);
  console.log("disabled");
});
