import fc from "fast-check";
import { expect, test } from "vitest";
import { fromLatin1, latin1, printable } from "../../src/bytes/text.ts";

test("any bytes survive as latin1", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      expect(fromLatin1(latin1(bytes))).toEqual(bytes);
    }),
  );
});

test("latin1 takes more bytes than a call may have arguments", () => {
  const bytes = new Uint8Array(1_000_003).fill(0xe9);
  const text = latin1(bytes);
  expect(text.length).toBe(bytes.length);
  expect(text.charCodeAt(1_000_002)).toBe(0xe9);
});

test("latin1 of a part", () => {
  expect(latin1(new Uint8Array([65, 66, 67, 68]), 1, 3)).toBe("BC");
});

test("a character that is no byte is refused", () => {
  expect(() => fromLatin1("a€")).toThrow(RangeError);
});

test.each([
  ["pc.ram", "pc.ram"],
  ["0000:00:02.0/vga.vram", "0000:00:02.0/vga.vram"],
  ["a\x1b[2Jb", "a\\x1b[2Jb"],
  ["\x00\x7f\x9b\xff", "\\x00\\x7f\\x9b\\xff"],
  ["a\\b\"c'd", "a\\\\b\\\"c\\'d"],
  ["line\nbreak", "line\\x0abreak"],
])("printable %j", (name, shown) => {
  expect(printable(name)).toBe(shown);
});

test("printable is plain ASCII and tells names apart", () => {
  const name = fc.uint8Array({ maxLength: 12 }).map((bytes) => latin1(bytes));
  fc.assert(
    fc.property(name, name, (a, b) => {
      expect(printable(a)).toMatch(/^[\x20-\x7e]*$/);
      expect(printable(a) === printable(b)).toBe(a === b);
    }),
  );
});
