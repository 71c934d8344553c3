import { hexAddress } from "../../bytes/text.ts";

/** Bytes read as numbers of every width, both ways round. */
export interface Reading {
  readonly name: string;
  readonly little: string;
  readonly big: string;
}

/** @param bytes up to 8; widths that reach past them read as a dash */
export function inspect(bytes: Uint8Array): readonly Reading[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const both = (name: string, width: number, read: (little: boolean) => string): Reading =>
    bytes.length < width ? { name, little: "–", big: "–" } : { name, little: read(true), big: read(false) };
  return [
    both("u8", 1, () => String(view.getUint8(0))),
    both("i8", 1, () => String(view.getInt8(0))),
    both("u16", 2, (little) => String(view.getUint16(0, little))),
    both("i16", 2, (little) => String(view.getInt16(0, little))),
    both("u32", 4, (little) => String(view.getUint32(0, little))),
    both("i32", 4, (little) => String(view.getInt32(0, little))),
    both("u64", 8, (little) => String(view.getBigUint64(0, little))),
    both("i64", 8, (little) => String(view.getBigInt64(0, little))),
    both("x64", 8, (little) => hexAddress(view.getBigUint64(0, little))),
    both("f32", 4, (little) => real(view.getFloat32(0, little))),
    both("f64", 8, (little) => real(view.getFloat64(0, little))),
  ];
}

function real(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(9))) : String(value);
}
