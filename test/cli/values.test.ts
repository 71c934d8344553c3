import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseCount, parseSize, parseTime } from "../../src/cli/values.ts";

describe("sizes", () => {
  test.each([
    ["1", 1],
    ["4096", 4096],
    ["4096B", 4096],
    ["64k", 65_536],
    ["500M", 500 * 1024 ** 2],
    ["500MiB", 500 * 1024 ** 2],
    ["500MB", 500_000_000],
    ["1.5GiB", 1.5 * 1024 ** 3],
    ["1.5g", 1.5 * 1024 ** 3],
    ["2T", 2 * 1024 ** 4],
  ])("%s is %d bytes", (text, bytes) => expect(parseSize(text, "--x")).toBe(bytes));

  test.each([
    "",
    "0",
    "0M",
    "-5",
    "-1M",
    "+1",
    "M",
    "1.5",
    "1 M",
    "1e6",
    "0x10",
    "1M/s",
    "1Mi",
    "1iB",
    "5QB",
    "1..5M",
    "NaN",
    "9999999T",
    "1M ",
  ])("%j is refused", (text) =>
    expect(() => parseSize(text, "--x")).toThrow(expect.objectContaining({ code: "usage.bad-size" })),
  );
});

describe("times", () => {
  test.each([
    ["30s", 30_000],
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["1.5s", 1500],
    ["500ms", 500],
    ["1m500ms", 60_500],
    ["2h", 7_200_000],
  ])("%s is %d ms", (text, time) => expect(parseTime(text, "--x")).toBe(time));

  test.each(["", "30", "0s", "-5s", "5x", "30m1h", "1m1m", "1 s", "s", "1.5", "0.1ms", "1h-5m"])(
    "%j is refused",
    (text) => expect(() => parseTime(text, "--x")).toThrow(expect.objectContaining({ code: "usage.bad-time" })),
  );
});

describe("counts", () => {
  test.each(["0", "-1", "1.5", "x", "", "1e3", "99999999999999999999"])("%j is refused", (text) =>
    expect(() => parseCount(text, "--x")).toThrow(expect.objectContaining({ code: "usage.bad-number" })),
  );
  test("bounds count", () => {
    expect(parseCount("10", "--x", 10, 20)).toBe(10);
    expect(parseCount("20", "--x", 10, 20)).toBe(20);
    expect(() => parseCount("9", "--x", 10, 20)).toThrow();
    expect(() => parseCount("21", "--x", 10, 20)).toThrow();
  });
});

test("any text gives a whole number above 0 or a usage error, never anything else", () => {
  const near = fc.stringMatching(/^[-+]?[0-9.]{0,4}[a-zA-Z ]{0,3}[0-9]{0,2}[a-z]{0,2}$/);
  fc.assert(
    fc.property(near, fc.constantFrom(parseSize, parseTime, parseCount), (text, parse) => {
      try {
        const value = parse(text, "--x");
        expect(Number.isSafeInteger(value) && value >= 1).toBe(true);
      } catch (error) {
        expect(error).toMatchObject({ code: expect.stringMatching(/^usage\./) });
      }
    }),
  );
});
