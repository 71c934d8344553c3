import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteBuilder, Cursor, getU64, setU64, viewOf } from "../../src/bytes/cursor.ts";
import { FixedramError } from "../../src/errors.ts";

const u64 = fc.maxSafeInteger().map(Math.abs);

test("what the builder writes, the cursor reads", () => {
  const field = fc.oneof(
    fc.record({ kind: fc.constant("u8" as const), value: fc.nat(0xff) }),
    fc.record({ kind: fc.constant("u16" as const), value: fc.nat(0xffff) }),
    fc.record({ kind: fc.constant("u32" as const), value: fc.nat(0xffffffff) }),
    fc.record({ kind: fc.constant("u64" as const), value: u64 }),
    fc.record({ kind: fc.constant("bytes" as const), value: fc.uint8Array({ maxLength: 600 }) }),
  );
  fc.assert(
    fc.property(fc.array(field, { maxLength: 40 }), (fields) => {
      const builder = new ByteBuilder(4);
      for (const f of fields) {
        if (f.kind === "bytes") builder.bytes(f.value);
        else builder[f.kind](f.value);
      }
      const cursor = new Cursor(builder.finish());
      for (const f of fields) {
        if (f.kind === "bytes") expect(cursor.take(f.value.length)).toEqual(f.value);
        else expect(cursor[f.kind]()).toBe(f.value);
      }
      expect(cursor.remaining).toBe(0);
    }),
  );
});

test("u64 is big-endian", () => {
  const bytes = new Uint8Array(8);
  setU64(viewOf(bytes), 0, 0x0001_0203_0405_0607);
  expect([...bytes]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  expect(getU64(viewOf(bytes), 0)).toBe(0x0001_0203_0405_0607);
});

test("a view begins where its bytes do", () => {
  const bytes = new Uint8Array([9, 9, 0, 0, 0, 0, 0, 0, 0, 5]).subarray(2);
  expect(getU64(viewOf(bytes), 0)).toBe(5);
});

test.each([-1, 2 ** 53, 1.5, Number.NaN])("setU64 refuses %d", (value) => {
  expect(() => setU64(new DataView(new ArrayBuffer(8)), 0, value)).toThrow(RangeError);
});

function thrown(action: () => unknown): FixedramError {
  try {
    action();
  } catch (error) {
    if (error instanceof FixedramError) return error;
  }
  throw new Error("no FixedramError");
}

test("numbers above 2^53 - 1 are refused", () => {
  const bytes = new Uint8Array([0, 0x20, 0, 0, 0, 0, 0, 0]);
  expect(getU64(viewOf(bytes), 0)).toBe(Number.POSITIVE_INFINITY);
  const error = thrown(() => new Cursor(bytes, { area: "file", base: 100 }).u64());
  expect(error.code).toBe("file.number-too-large");
  expect(error.details.offset).toBe(100);
  expect(new Cursor(new Uint8Array([0, 0x1f, 255, 255, 255, 255, 255, 255])).u64()).toBe(Number.MAX_SAFE_INTEGER);
});

test.each(["u8", "u16", "u32", "u64"] as const)("%s past the end", (kind) => {
  const error = thrown(() => new Cursor(new Uint8Array(7), { offset: kind === "u64" ? 0 : 7, base: 10 })[kind]());
  expect(error.code).toBe("stream.out-of-bounds");
  expect(error.details.offset).toBe(kind === "u64" ? 10 : 17);
});

test.each([4, -1, Number.NaN])("take(%d) of 3", (length) => {
  expect(thrown(() => new Cursor(new Uint8Array(3)).take(length)).code).toBe("stream.out-of-bounds");
});
