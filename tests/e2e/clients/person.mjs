// A person with a browser, for scripts that have one sign in.
import { join } from "node:path";
import { module } from "./modules.mjs";

const { chromium } = await module("playwright-core/index.mjs");

const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"];
args.push("--disable-background-networking", "--disable-component-update");

// A browser with one page. Its profile is new and empty; the tests' authority is not among those that it trusts.
export const browse = async () => {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 800, height: 900 } });
  return { browser, page: await context.newPage() };
};

// What a person does on each page, by what is on it.
const pages = ({ name, password, deny, code }) => ({
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
});

// Goes on, on a page of a sign-in, until it leads outside of the origins that belong to it or to a page that asks
// nothing. Returns the kinds of pages that were seen. `shots` is a folder for pictures.
export const signIn = async (page, { inside, shots, ...person }) => {
  const acts = pages(person);
  const known = Object.values(acts).map(([selector]) => selector).join(", ");
  const outside = () => /^https?:/.test(page.url()) && !inside.includes(new URL(page.url()).origin);
  const seen = [];
  const shot = async (what) => {
    if (shots) await page.screenshot({ path: join(shots, `${seen.length}-${what.replace(" ", "-")}.png`), fullPage: true });
  };
  let last = "";
  while (seen.length < 12 && !outside()) {
    // A page that leads on by itself does so at once; a page that does not is the end.
    const form = page.locator(known).first();
    const patience = { timeout: 1500 };
    await Promise.race([form.waitFor(patience), page.waitForURL(outside, patience)]).catch(() => {});
    if (outside()) break;
    const what = await Promise.all(
      Object.entries(acts).map(async ([what, [selector]]) => ((await page.locator(selector).count()) ? what : null)),
    );
    const found = what.find((name) => name);
    await shot(found ?? "end");
    if (!found) break;
    // A form that complains would complain again; the same form elsewhere is another question.
    if (found === seen.at(-1) && page.url() === last) break;
    seen.push(found);
    last = page.url();
    const moved = page.waitForEvent("framenavigated", { timeout: 10_000 }).catch(() => {});
    await acts[found][1](page.locator(acts[found][0]).first());
    await moved;
  }
  await page.waitForLoadState().catch(() => {});
  await shot("last");
  return seen;
};
