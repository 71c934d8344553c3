import { type DeviceState, type DeviceValue, fieldOf, isArray, isState } from "../devices/tree.ts";
import { FixedramError } from "../errors.ts";

/** @param said what of it is not known */
export function unknownCpu(said: string): FixedramError {
  return new FixedramError("stream.unknown-cpu", "the CPU's section is not one that is known here", {
    said,
    hint: "A newer QEMU may have changed it. fixedram devices FILE cpu shows its fields all the same.",
  });
}

/** An integer field as an unsigned number of its own width. @throws `stream.unknown-cpu` when it is not there */
export function integer(state: DeviceState, name: string): bigint {
  const value = integerOr(state, name, null);
  if (value === null) throw unknownCpu(`it has no field ${name}`);
  return value;
}

/** The same, or `otherwise` when there is no such field. */
export function integerOr<T>(state: DeviceState | null, name: string, otherwise: T): bigint | T {
  const field = state === null ? null : fieldOf(state, name);
  return field === null ? otherwise : unsigned(field.value, field.size, name);
}

/** An array of integers. @throws `stream.unknown-cpu` */
export function integers(state: DeviceState, name: string): readonly bigint[] {
  const field = fieldOf(state, name);
  if (field === null) throw unknownCpu(`it has no field ${name}`);
  const { value, size } = field;
  if (!isArray(value)) return [unsigned(value, size, name)];
  return value.map((each) => unsigned(each, size / value.length, name));
}

export function structOf(state: DeviceState, name: string): DeviceState {
  const field = fieldOf(state, name);
  if (field !== null && isState(field.value)) return field.value;
  throw unknownCpu(`it has no struct ${name}`);
}

export function structsOf(state: DeviceState, name: string): readonly DeviceState[] {
  const field = fieldOf(state, name);
  if (field !== null && isArray(field.value)) return field.value.filter(isState);
  throw unknownCpu(`it has no structs ${name}`);
}

/** @param size bytes */
function unsigned(value: DeviceValue, size: number, name: string): bigint {
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value === "number" || typeof value === "bigint") return BigInt.asUintN(size * 8, BigInt(value));
  // Types of their own (`cpsr`, `fpscr`) come as bytes, big-endian.
  if (value instanceof Uint8Array && value.length <= 8)
    return value.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n);
  throw unknownCpu(`${name} is no integer`);
}
