/** Debian's Chromium, driven from a test; and the viewer as a user starts it. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
import { atTestEnd, CACHE, startFixedram, testFolder } from "../qemu/harness/index.ts";

const flags = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

export interface Opened {
  readonly page: Page;
  readonly context: BrowserContext;
  /** What a page must never say: errors on the console, violations of its policy, requests to elsewhere. */
  readonly complaints: string[];
}

/** A browser with nothing in it, that ends with the test. */
export async function openBrowser(size = { width: 1280, height: 720 }): Promise<Opened> {
  const context = await chromium.launchPersistentContext(testFolder(), {
    executablePath: "/usr/bin/chromium",
    args: flags,
    viewport: size,
    colorScheme: "dark",
    reducedMotion: "reduce",
    permissions: ["clipboard-read", "clipboard-write"],
  });
  atTestEnd(() => context.close());
  const page = context.pages()[0] ?? (await context.newPage());
  const complaints: string[] = [];
  page.on("console", (message) => {
    // The tests themselves read the canvas again and again.
    if (message.text().includes("willReadFrequently")) return;
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol.startsWith("http") && hostname !== "127.0.0.1") complaints.push(`asked ${hostname}`);
  });
  return { page, context, complaints };
}

/** `fixedram view ... --no-open`; returns its address. */
export async function startViewer(...args: string[]): Promise<{ url: string; stop: () => Promise<number | null> }> {
  const { child, ended } = startFixedram(["view", ...args, "--no-open", "--json"]);
  const line = await new Promise<string>((resolve, reject) => {
    child.stdout.once("data", (text: string) => resolve(text));
    void ended.then((run) => reject(new Error(`fixedram view ended: ${run.stdout}${run.stderr}`)));
  });
  const { url } = JSON.parse(line) as { url: string };
  return {
    url,
    stop: async () => {
      child.kill("SIGINT");
      return (await ended).code;
    },
  };
}

/** Opens a viewer's address and waits until its map is drawn. */
export async function openMap(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await page.waitForSelector("html[data-drawn]", { state: "attached" });
}

/** Kept as the run's artefacts: .cache/test/viewer/. */
export async function picture(page: Page, name: string): Promise<void> {
  const folder = join(CACHE, "test", "viewer");
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

/** The colours that are on the map, by how often: what was drawn at all. */
export async function colorsOf(page: Page): Promise<Map<string, number>> {
  const found = await page.evaluate<[string, number][]>(`(() => {
    const canvas = document.querySelector("canvas.map");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const counts = new Map();
    for (let i = 0; i < data.length; i += 4) {
      const key = data[i] + "," + data[i + 1] + "," + data[i + 2];
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return [...counts];
  })()`);
  return new Map(found);
}

/** Waits until a colour of the palette (`#rrggbb`) is seen on the map. */
export async function expectColor(page: Page, color: string): Promise<void> {
  const key = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16)).join(",");
  await expect.poll(async () => (await colorsOf(page)).get(key) ?? 0, { timeout: 20_000 }).toBeGreaterThan(0);
}
