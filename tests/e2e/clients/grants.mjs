// A person with a browser, who signs in, connects a server, looks at what they gave and takes it back:
// `node grants.mjs AUTHORIZE LINK PAGE`. Prints as JSON what the page said before and after, and what the page that was
// left said in between.
import { module } from "./modules.mjs";

const { chromium } = await module("playwright-core/index.mjs");
const [authorize, link, grants] = process.argv.slice(2);
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
args.push("--disable-background-networking", "--disable-component-update");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
const context = await browser.newContext();
const first = await context.newPage();
await first.goto(authorize);
// Nobody listens where the client that asked for the sign-in would: that the browser is sent there is enough.
const back = first.waitForRequest("http://127.0.0.1:4711/**");
await first.locator("button[value=allow]").click();
await back;

const page = await context.newPage();
const said = () => page.locator("main").innerText();

await page.goto(link);
await page.locator("form[action^='/connect/'] button").click();
// The server has a sign-in of its own.
await page.locator("form[action='/oauth/consent'] button[value=allow]").click();
await page.getByText("is connected").waitFor();

await page.goto(grants);
const before = await said();
await page.locator("form[action='/grants'] button").click();
await page.getByText("is disconnected").waitFor();
const done = await said();
await page.goto(grants);
console.log(JSON.stringify({ before, done, after: await said() }));
await browser.close();
