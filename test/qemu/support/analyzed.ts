/** A decoded section in the words of QEMU's scripts/analyze-migration.py, `-d state`. */
import { type DeviceField, type DeviceState, isArray, isState } from "../../../src/devices/tree.ts";

/** Types that the script shows as numbers; `equal` ones as signed, whatever they are. The rest it shows as bytes. */
const signed = new Set([
  "int8",
  "int16",
  "int32",
  "int32 equal",
  "int32 le",
  "int64",
  "int64 equal",
  "uint8 equal",
  "uint16 equal",
]);
const unsigned = new Set(["uint8", "uint16", "uint32", "uint32 equal", "uint64"]);

/** @param payload of the section: what is no number is shown as it stands there */
export function analyzed(state: DeviceState, payload: Uint8Array): Record<string, unknown> {
  const fields = state.fields.map((field) => [field.name, fieldText(field, payload)]);
  return Object.fromEntries([...fields, ...state.subsections.map((each) => [each.name, analyzed(each, payload)])]);
}

function fieldText(field: DeviceField, payload: Uint8Array): unknown {
  const { value, offset, size } = field;
  const type = field.type.replace("[]", "");
  if (!isArray(value)) return valueText(value, type, payload.subarray(offset, offset + size), payload);
  let at = offset;
  const texts = value.map((each) => {
    const length = isState(each)
      ? each.size
      : each === null
        ? 1
        : (size - nulls(value)) / (value.length - nulls(value));
    at += length;
    return valueText(each, type, payload.subarray(at - length, at), payload);
  });
  // One element is no list to the script.
  return texts.length === 1 ? texts[0] : texts;
}

function nulls(values: readonly unknown[]): number {
  return values.filter((each) => each === null).length;
}

function valueText(value: unknown, type: string, bytes: Uint8Array, payload: Uint8Array): unknown {
  if (value === null) return "nullptr";
  if (typeof value === "boolean") return value;
  if (isState(value as never) && type === "struct") return analyzed(value as DeviceState, payload);
  const number = signed.has(type) ? BigInt.asIntN(8 * bytes.length, integerOf(bytes)) : integerOf(bytes);
  if (!signed.has(type) && !unsigned.has(type))
    return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  const hex = `0x${integerOf(bytes)
    .toString(16)
    .padStart(2 * bytes.length, "0")}`;
  return number < 0n ? `${hex} (${number})` : hex;
}

function integerOf(bytes: Uint8Array): bigint {
  return bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
}
