// A real Cairn with a real profile in it, and a real browser to look at it with.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const BINARY = process.env.CAIRN ?? fileURLToPath(new URL("../../target/debug/cairn", import.meta.url));
const FIXTURE = fileURLToPath(new URL("fixtures/go-cpu.pb.gz", import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const CHROMIUM_ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const START_MS = 30_000;

/** Starts Cairn on a free port over an empty folder and pushes the fixture as service `shop`. */
export async function startCairn() {
  const data = mkdtempSync(join(tmpdir(), "cairn-e2e-"));
  const child = spawn(
    BINARY,
    ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data", data],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const url = await new Promise((found, failed) => {
    let text = "";
    const timer = setTimeout(() => failed(new Error(`cairn printed no address:\n${text}`)), START_MS);
    child.on("exit", (code) => failed(new Error(`cairn ended with ${code}:\n${text}`)));
    child.stdout.on("data", (chunk) => {
      text += chunk;
      const address = /http:\/\/127\.0\.0\.1:\d+/.exec(text)?.[0];
      if (!address) return;
      clearTimeout(timer);
      found(`${address}/`);
    });
  });
  execFileSync(BINARY, ["push", FIXTURE, "--label", "service_name=shop", "--server", url.slice(0, -1)]);
  const stop = async () => {
    child.removeAllListeners("exit");
    const ended = new Promise((done) => child.on("exit", (code) => done(code)));
    child.kill("SIGTERM");
    const code = await ended;
    rmSync(data, { recursive: true, force: true });
    return code;
  };
  return { url, stop };
}

export const startBrowser = () => chromium.launch({ executablePath: CHROMIUM, args: CHROMIUM_ARGS });

/** Opens the page and keeps a list of everything that went wrong on it. */
export async function openPage(browser, url, path = "", options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1440, height: 1000 },
    colorScheme: "dark",
    ...options,
  });
  const page = await context.newPage();
  const faults = [];
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("request", (request) => {
    const inside = request.url().startsWith(url) || /^(data|blob):/.test(request.url());
    if (!inside) faults.push(`outside: ${request.url()}`);
  });
  await page.goto(url + path);
  return { page, faults, close: () => context.close() };
}
