// The page as a person uses it.
import assert from "node:assert/strict";
import test from "node:test";
import { openPage, startBrowser, startCairn } from "./cairn.mjs";

/** Around the moment that the fixture was recorded. */
const WINDOW = "from=1795365400&until=1795365600";
const SHOP = `?type=process_cpu:cpu:nanoseconds:cpu:nanoseconds:delta&query=${encodeURIComponent('{service_name="shop"}')}&${WINDOW}`;

let cairn;
let browser;
test.before(async () => {
  cairn = await startCairn();
  browser = await startBrowser();
});
test.after(async () => {
  await browser?.close();
  assert.equal(await cairn?.stop(), 0, "cairn ends with 0 when asked to stop");
});

const flame = (page) => page.getByTestId("flameGraph").first();
const open = async (path = SHOP, options) => {
  const opened = await openPage(browser, cairn.url, path, options);
  if (path === SHOP) await flame(opened.page).waitFor();
  return opened;
};
const colors = (page) =>
  flame(page).evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, Math.min(canvas.height, 400));
    const seen = new Set();
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3]) seen.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
    }
    return seen.size;
  });
const shot = async (page, name) => {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });
};

test("a pushed profile is drawn, with its total, and nothing is fetched from outside", async () => {
  const { page, faults, close } = await open();
  await page.waitForFunction(() => document.querySelectorAll("[role=row]").length > 10);
  await page.getByTestId("timeseries").locator("canvas").waitFor();
  await page.getByText("4 s").first().waitFor();
  assert.ok((await colors(page)) > 20);
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await shot(page, "dark");
  assert.deepEqual(faults, []);
  await close();
});

test("cairn profiles itself within ten seconds of its start", async () => {
  const { page, faults, close } = await openPage(
    browser,
    cairn.url,
    `?range=5m&query=${encodeURIComponent('{service_name="cairn"}')}`,
  );
  await page.getByLabel("Profile type").locator("option", { hasText: "cpu" }).first().waitFor({
    state: "attached",
    timeout: 15_000,
  });
  await flame(page).waitFor({ timeout: 15_000 });
  await shot(page, "self");
  assert.deepEqual(faults, []);
  await close();
});

test("search says how much it found, and lives in the address", async () => {
  const { page, faults, close } = await open();
  await page.keyboard.press("/");
  await page.keyboard.type("runtime\\.");
  const match = page.getByTestId("match");
  await match.waitFor();
  assert.match(await match.innerText(), /^\d+ fn · \d+\.\d\d%$/);
  await page.waitForURL(/[?&]q=runtime/);
  await page.keyboard.press("Escape");
  await match.waitFor({ state: "detached" });
  assert.deepEqual(faults, []);
  await close();
});

test("a frame has a tooltip and a menu that focuses it", async () => {
  const { page, close } = await open();
  await page.waitForFunction(() => document.querySelectorAll("[role=row]").length > 10);
  const box = await flame(page).boundingBox();
  await page.mouse.move(box.x + 40, box.y + 33);
  await page.getByRole("tooltip").waitFor();
  await page.mouse.click(box.x + 40, box.y + 33);
  await page.getByRole("menuitem", { name: "Focus block" }).click();
  await page.getByText("% of total").first().waitFor();
  assert.match(page.url(), /focus=/);
  await close();
});

test("sandwich from the table; its link restores it; Escape leaves it", async () => {
  const { page, close } = await open();
  await page.getByRole("button", { name: "Show in sandwich view" }).nth(2).click();
  await page.getByText("Callees").waitFor();
  const link = page.url();
  assert.match(link, /sandwich=/);
  await page.goto("about:blank");
  await page.goto(link);
  await page.getByText("Callees").waitFor();
  await page.keyboard.press("Escape");
  await page.getByText("Callees").waitFor({ state: "detached" });
  await close();
});

test("dragging over the series picks a range", async () => {
  const { page, close } = await open();
  const box = await page.locator(".u-over").boundingBox();
  await page.mouse.move(box.x + 100, box.y + 50);
  await page.mouse.down();
  await page.mouse.move(box.x + 600, box.y + 60, { steps: 5 });
  await page.mouse.up();
  await page.waitForURL((url) => url.searchParams.get("from") > "1795365400");
  await close();
});

test("the selector completes names and values", async () => {
  const { page, close } = await open();
  const box = page.getByRole("combobox", { name: "Label matchers" });
  await box.fill("");
  await box.pressSequentially("serv");
  await page.getByRole("option", { name: "service_name" }).click();
  await page.getByRole("option", { name: "shop" }).click();
  assert.equal(await box.inputValue(), '{service_name="shop"}');
  await box.press("Enter");
  await flame(page).waitFor();
  await close();
});

test("a refused query is explained, not a blank page", async () => {
  const { page, close } = await open(SHOP.replace("shop", "sh%22op"), {});
  await page.getByRole("alert").first().getByText("failed to parse query").waitFor();
  await close();
});

test("light theme, and a phone's width", async () => {
  const { page, faults, close } = await open(SHOP, {
    colorScheme: "light",
    viewport: { width: 390, height: 800 },
  });
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "light");
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await shot(page, "phone-light");
  assert.deepEqual(faults, []);
  await close();
});

test("assets are cached for good, compressed, and bound to this origin", async () => {
  const page = await fetch(cairn.url);
  assert.match(page.headers.get("content-security-policy"), /default-src 'self'/);
  const script = /assets\/[^"]+\.js/.exec(await page.text())[0];
  const answer = await fetch(cairn.url + script, { headers: { "accept-encoding": "gzip" } });
  assert.match(answer.headers.get("cache-control"), /immutable/);
  assert.equal(answer.headers.get("content-encoding"), "gzip");
  await answer.arrayBuffer();
});
