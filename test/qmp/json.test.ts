import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatQmpJson, parseQmpJson } from "../../src/qmp/json.ts";
import { LineSplitter } from "../../src/qmp/lines.ts";

describe("QMP's JSON", () => {
  test("integers past 2^53 - 1 come whole and go whole", () => {
    const text = '{"a":9223372036853727232,"b":[18446744073709551615,-9223372036854775808],"c":9007199254740991}';
    const value = parseQmpJson(text);
    expect(value).toEqual({
      a: 9223372036853727232n,
      b: [18446744073709551615n, -9223372036854775808n],
      c: 9007199254740991,
    });
    expect(formatQmpJson(value)).toBe(text);
  });

  test("digits in strings and fractions are left alone", () => {
    const text = '{"a":"x 18446744073709551615 \\"18446744073709551615","b":0.12345678901234567890,"c":1e30}';
    expect(parseQmpJson(text)).toEqual(JSON.parse(text));
  });

  test("a double without a fraction is written with the digits that JSON has for it", () => {
    const value = parseQmpJson('{"a":-922337203685477580.75808}');
    expect(formatQmpJson(value)).toBe('{"a":-922337203685477600}');
  });

  test("any JSON value reads as JSON.parse reads it", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const text = JSON.stringify(value);
        if (/[0-9]{16}/.test(text.replace(/"(?:[^"\\]|\\.)*"/g, ""))) return;
        expect(parseQmpJson(text)).toEqual(JSON.parse(text));
      }),
      { numRuns: 500 },
    );
  });
});

describe("lines", () => {
  test("any chunking gives the same lines", () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ unit: "grapheme" }).map((s) => s.replaceAll("\n", " "))),
        fc.array(fc.nat(7)),
        (lines, sizes) => {
          const bytes = new TextEncoder().encode(lines.map((l) => `${l}\n`).join(""));
          const splitter = new LineSplitter();
          const got: string[] = [];
          let turn = 0;
          for (let at = 0; at < bytes.length; ) {
            const size = (sizes[turn++ % Math.max(sizes.length, 1)] ?? 0) + 1;
            got.push(...splitter.push(bytes.slice(at, at + size)));
            at += size;
          }
          expect(got).toEqual(lines.map((l) => l.replace(/^\uFEFF/, "")));
          expect(splitter.pending).toBe("");
        },
      ),
    );
  });

  test("a line past the limit is refused, however it comes", () => {
    const splitter = new LineSplitter(10);
    expect(splitter.push(new Uint8Array(10).fill(65))).toEqual([]);
    expect(() => splitter.push(new Uint8Array(1).fill(65))).toThrow(
      expect.objectContaining({ code: "qmp.line-too-long" }),
    );
  });
});
