// A person with a browser: `node browser.mjs URL OPTIONS`. It opens the URL, signs in and agrees wherever it is asked
// to, and prints as JSON where that ended. Options, as JSON: `name` and `password`; `inside`, the origins that belong
// to the sign-in (it ends outside of them); `deny` to say no; `code` for a device; `shots`, a folder for pictures.
import { join } from "node:path";
import { module } from "./modules.mjs";

const { chromium } = await module("playwright-core/index.mjs");
const [url, text] = process.argv.slice(2);
const { name, password, inside, deny, code, shots } = JSON.parse(text);

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
args.push("--disable-background-networking", "--disable-component-update");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
// Its profile is new and empty; the tests' authority is not among those that it trusts.
const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 800, height: 900 } });
const page = await context.newPage();
const seen = [];

// What a person does on each page, by what is on it.
const pages = {
  consent: ["form[action='/oauth/consent']", async (form) => form.locator(`button[value=${deny ? "deny" : "allow"}]`).click()],
  device: ["form[action='/oauth/device']", async (form) => {
    await form.locator("input[name=user_code]").fill(code);
    await form.locator("button").click();
  }],
  entra: ["form:has(input[name=loginfmt])", async (form) => {
    await form.locator("input[name=loginfmt]").fill(name);
    await form.locator("input[name=passwd]").fill(password);
    await form.locator("button").click();
  }],
  "oidc sign-in": ["form:has(input[name=login])", async (form) => {
    await form.locator("input[name=login]").fill(name);
    await form.locator("input[name=password]").fill(password);
    await form.locator("button[type=submit]").click();
  }],
  "oidc consent": ["form:has(input[name=prompt][value=consent])", async (form) => form.locator("button[type=submit]").click()],
};
const known = Object.values(pages).map(([selector]) => selector).join(", ");

let status = 0;
let last = "";
page.on("response", (response) => {
  if (response.request().isNavigationRequest()) status = response.status();
});
const shot = async (what) => {
  if (shots) await page.screenshot({ path: join(shots, `${seen.length}-${what.replace(" ", "-")}.png`), fullPage: true });
};
const outside = () => /^https?:/.test(page.url()) && !inside.includes(new URL(page.url()).origin);

await page.goto(url);
while (seen.length < 12 && !outside()) {
  // A page that leads on by itself does so at once; a page that does not is the end.
  const form = page.locator(known).first();
  const patience = { timeout: 1500 };
  await Promise.race([form.waitFor(patience), page.waitForURL(outside, patience)]).catch(() => {});
  if (outside()) break;
  const what = await Promise.all(
    Object.entries(pages).map(async ([what, [selector]]) => ((await page.locator(selector).count()) ? what : null)),
  );
  const found = what.find((name) => name);
  await shot(found ?? "end");
  if (!found) break;
  // A form that complains would complain again; the same form elsewhere is another question.
  if (found === seen.at(-1) && page.url() === last) break;
  seen.push(found);
  last = page.url();
  const moved = page.waitForEvent("framenavigated", { timeout: 10_000 }).catch(() => {});
  await pages[found][1](page.locator(pages[found][0]).first());
  await moved;
}
await page.waitForLoadState().catch(() => {});
await shot("last");
console.log(JSON.stringify({ url: page.url(), status, title: await page.title(), text: await page.innerText("body"), seen }));
await browser.close();
