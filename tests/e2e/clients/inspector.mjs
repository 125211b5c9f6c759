// A person with the MCP Inspector in a browser: `node inspector.mjs URL OPTIONS`. They switch the server on, sign in and
// agree where they are asked to, and have the tool `echo` say the option `say`. Prints as JSON the kinds of pages that
// were `seen`, the `tools` that the Inspector lists, and what the tool `said`.
import { browse, signIn } from "./person.mjs";

const [url, text] = process.argv.slice(2);
const { say, ...person } = JSON.parse(text);
const { browser, page } = await browse();
await page.setViewportSize({ width: 1400, height: 1000 });
await page.goto(url, { waitUntil: "domcontentloaded" });
await page.locator("label:has(input[role=switch])").first().click();
await page.waitForURL((at) => person.inside.includes(at.origin), { waitUntil: "domcontentloaded" });
const seen = await signIn(page, person);
await page.getByText("Connected", { exact: true }).waitFor();
await page.locator("label:has-text('Tools')").first().click();
const listed = page.locator("button[data-variant=listItem]");
await listed.first().waitFor();
const tools = (await listed.allInnerTexts()).map((name) => name.trim());
await listed.filter({ hasText: /^echo$/ }).click();
await page.locator("input[aria-keyshortcuts=Enter]").fill(say);
await page.getByRole("button", { name: "Execute Tool" }).click();
// What was typed is a value and no text: this is what came back.
const said = await page.getByText(say).first().innerText();
console.log(JSON.stringify({ seen, tools, said }));
await browser.close();
