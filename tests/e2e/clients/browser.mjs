// A person with a browser: `node browser.mjs URL OPTIONS`. It opens the URL, signs in and agrees wherever it is asked
// to, and prints as JSON where that ended. Options, as JSON: `name` and `password`; `inside`, the origins that belong
// to the sign-in (it ends outside of them); `deny` to say no; `code` for a device; `shots`, a folder for pictures.
import { browse, signIn } from "./person.mjs";

const [url, text] = process.argv.slice(2);
const { browser, page } = await browse();
let status = 0;
page.on("response", (response) => {
  if (response.request().isNavigationRequest()) status = response.status();
});
await page.goto(url);
const seen = await signIn(page, JSON.parse(text));
console.log(JSON.stringify({ url: page.url(), status, title: await page.title(), text: await page.innerText("body"), seen }));
await browser.close();
