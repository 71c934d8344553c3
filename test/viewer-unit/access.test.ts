import { describe, expect, test } from "vitest";
import { admit } from "../../src/viewer/server/access.ts";
import { parseListen } from "../../src/viewer/view.ts";

const token = "s3cret-token";
const asked = (url: string, headers: Record<string, string> = {}, method = "GET") =>
  admit({ method, url, headers: { host: "127.0.0.1:8000", ...headers } }, token, 8000);

test("who has the token and asks this host gets in", () => {
  expect(asked(`/${token}/api/tile?x=1`)).toMatchObject({ path: "/api/tile" });
  expect(asked(`/${token}/`, { host: "localhost:8000", origin: "http://localhost:8000" })).toMatchObject({ path: "/" });
  expect(asked(`/${token}`)).toMatchObject({ path: "/" });
});

describe("is refused", () => {
  test.each([
    ["no token", "/", {}],
    ["a wrong token", "/s3cret-tokem/", {}],
    ["a longer token", `/${token}x/`, {}],
    ["the token somewhere else", `/x/${token}/`, {}],
    ["a name that points here", `/${token}/`, { host: "evil.example:8000" }],
    ["another port", `/${token}/`, { host: "127.0.0.1:8001" }],
    ["another page", `/${token}/api/pages`, { origin: "https://evil.example" }],
    ["a page without an origin", `/${token}/api/pages`, { origin: "null" }],
    ["another site's picture or script", `/${token}/app.js`, { "sec-fetch-site": "cross-site" }],
    ["another port of this machine", `/${token}/api/snapshot`, { "sec-fetch-site": "same-site" }],
  ])("%s", (_, url, headers) => {
    expect(asked(url, headers)).toMatchObject({ status: 403 });
  });

  test("a method that could change something", () => {
    expect(asked(`/${token}/`, {}, "POST")).toMatchObject({ status: 405 });
  });

  test("no host at all", () => {
    expect(admit({ method: "GET", url: `/${token}/`, headers: {} }, token, 8000)).toMatchObject({ status: 403 });
  });
});

test("a link from elsewhere may open the page, as it then asks from here", () => {
  expect(asked(`/${token}/`, { "sec-fetch-site": "cross-site" })).toMatchObject({ path: "/" });
});

test("paths cannot climb", () => {
  expect(asked(`/${token}/../../etc/passwd`)).toMatchObject({ path: "/etc/passwd" });
});

test("it listens on the loopback interface alone", () => {
  expect(parseListen("8000")).toEqual({ host: "127.0.0.1", port: 8000 });
  expect(parseListen("localhost:0")).toEqual({ host: "127.0.0.1", port: 0 });
  expect(parseListen("[::1]:80")).toEqual({ host: "::1", port: 80 });
  for (const text of ["0.0.0.0:80", "192.168.1.2:80", "127.0.0.1", "127.0.0.1:70000", "example.org:80", "-1"])
    expect(() => parseListen(text)).toThrow(expect.objectContaining({ code: "usage.bad-address" }));
});
