// What a real browser does with the service: pages of another origin that send events and follow the
// live stream, and the page that renders the description of the API.
//
// Started by `cargo xtask test --only browser` with the addresses of a running service:
//   node pages.mjs <folder of playwright-core> <chromium> <ingest> <api> <origin port> <folder for screenshots>

import { createServer } from "node:http";
import { createRequire } from "node:module";

const [modules, chromiumPath, ingest, api, originPort, shots] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");

const event = (user) => ({
  event: { type: "page_view" },
  user: { id: user },
  device: { user_agent: "Mozilla/5.0", screen_width: 1920, screen_height: 1080 },
  context: { url: "https://shop.example/a", session_id: `s-${user}` },
  metrics: { load_time: 120 },
  properties: {},
});

// Two origins: one that the service was told of, one that it was not.
const page = (_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><p>a page");
const listen = (port) =>
  new Promise((done) => {
    const server = createServer(page).listen(port, "127.0.0.1", () => done(server));
  });
const allowed = await listen(Number(originPort));
const other = await listen(0);
const origin = (server) => `http://127.0.0.1:${server.address().port}`;

const browser = await chromium.launch({
  executablePath: chromiumPath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});

const sentBy = async (from, user, how) => {
  const tab = await browser.newPage();
  await tab.goto(origin(from));
  const result = await tab.evaluate(how, { url: `${ingest}/v1/analytics/track`, body: JSON.stringify(event(user)) });
  await tab.close();
  return result;
};

const fetched = async ({ url, body }) => {
  try {
    const headers = { "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", headers, body });
    return { status: response.status, json: await response.json() };
  } catch (error) {
    return { error: error.name };
  }
};

const metric = async (name) => {
  const text = await (await fetch(`${ingest}/metrics`)).text();
  const line = text.split("\n").find((own) => own.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.split(" ")[1]);
};

const until = async (what, found) => {
  const deadline = Date.now() + 60_000;
  for (;;) {
    const result = await found();
    if (result) return result;
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
};

const equal = (found, expected) => {
  if (JSON.stringify(found) !== JSON.stringify(expected)) {
    throw new Error(`found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`);
  }
};

const tests = {
  "a page of a configured origin sends JSON after a preflight": async () => {
    equal(await sentBy(allowed, "fetch", fetched), { status: 202, json: { status: "accepted" } });
  },
  "a page of another origin is kept from it by the browser": async () => {
    const before = await metric("tidegate_ingest_events_accepted_total");
    equal(await sentBy(other, "stranger", fetched), { error: "TypeError" });
    equal(await metric("tidegate_ingest_events_accepted_total"), before);
  },
  "a beacon of a page that is being left arrives": async () => {
    const before = await metric("tidegate_ingest_events_accepted_total");
    const queued = await sentBy(allowed, "beacon", ({ url, body }) => navigator.sendBeacon(url, body));
    equal(queued, true);
    await until("the beacon", async () => (await metric("tidegate_ingest_events_accepted_total")) > before);
  },
  "a page of a configured origin follows the live stream": async () => {
    const tab = await browser.newPage();
    await tab.goto(origin(allowed));
    const following = tab.evaluate(async (url) => {
      const source = new EventSource(url);
      const first = (name) => new Promise((done, failed) => {
        source.addEventListener(name, (message) => done({ id: message.lastEventId, data: JSON.parse(message.data) }));
        source.addEventListener("error", () => failed(new Error("the stream broke")));
      });
      const [snapshot, change] = await Promise.all([first("snapshot"), first("change")]);
      source.close();
      return { snapshot: typeof snapshot.data, id: change.id !== "", kind: typeof change.data.kind };
    }, `${api}/live`);
    let index = 0;
    const sending = setInterval(() => sentBy(allowed, `live-${index++}`, fetched).catch(() => {}), 300);
    try {
      equal(await following, { snapshot: "object", id: true, kind: "string" });
    } finally {
      clearInterval(sending);
      await tab.close();
    }
  },
  "the description of the API is rendered with nothing loaded from elsewhere": async () => {
    const tab = await browser.newPage({ viewport: { width: 1280, height: 1000 } });
    const elsewhere = [];
    const errors = [];
    tab.on("request", (request) => {
      if (!request.url().startsWith(ingest) && !request.url().startsWith("data:")) elsewhere.push(request.url());
    });
    tab.on("pageerror", (error) => errors.push(error.message));
    await tab.goto(`${ingest}/docs`);
    await tab.getByText("/v1/analytics/track").first().waitFor({ timeout: 60_000 });
    await tab.screenshot({ path: `${shots}/docs.png`, fullPage: true });
    equal(elsewhere, []);
    equal(errors, []);
    await tab.close();
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`test ${name} ... ok`);
  } catch (error) {
    failed += 1;
    console.log(`test ${name} ... FAILED\n${error.stack}`);
  }
}
const passed = Object.keys(tests).length - failed;
console.log(`test result: ${failed === 0 ? "ok" : "FAILED"}. ${passed} passed; ${failed} failed; 0 ignored`);
await browser.close();
allowed.close();
other.close();
process.exit(failed === 0 ? 0 : 1);
