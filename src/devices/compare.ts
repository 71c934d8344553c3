import { type DeviceState, type DeviceTree, type DeviceValue, isArray, isState } from "./tree.ts";

/** A value that is not the same in two sections of one device. */
export interface FieldDifference {
  /**
   * Names from the section down, with the index of an array's element: `env.segs[2].base`; a subsection in slashes, its version
   * as `/cpu/pkru/version`.
   */
  readonly path: string;
  /** Undefined: this side has no such field. Buffers are given whole (views on the payload). */
  readonly a: DeviceValue | undefined;
  readonly b: DeviceValue | undefined;
}

/** Compares two decoded sections field by field; in A's order, then what only B has. */
export function compareDevices(a: DeviceTree, b: DeviceTree): readonly FieldDifference[] {
  const found: FieldDifference[] = [];
  compareStates(a.state, b.state, "", found);
  return found;
}

function compareStates(a: DeviceState, b: DeviceState, path: string, found: FieldDifference[]): void {
  const named = (name: string) => (path === "" ? name : `${path}.${name}`);
  pair(occurrences(a.fields), occurrences(b.fields), (name, left, right) =>
    compareValues(left?.value, right?.value, named(name), found),
  );
  pair(occurrences(a.subsections), occurrences(b.subsections), (name, left, right) =>
    compareSubsections(left, right, `${path}/${name}/`, found),
  );
}

/** A subsection's version is in the payload; that of a struct is its description's alone. */
function compareSubsections(
  a: DeviceState | undefined,
  b: DeviceState | undefined,
  path: string,
  found: FieldDifference[],
): void {
  if (a !== undefined && b !== undefined && a.version !== b.version) {
    found.push({ path: `${path}version`, a: a.version, b: b.version });
  }
  compareValues(a, b, path, found);
}

function compareValues(
  a: DeviceValue | undefined,
  b: DeviceValue | undefined,
  path: string,
  found: FieldDifference[],
): void {
  if (a !== undefined && b !== undefined) {
    if (isState(a) && isState(b)) {
      compareStates(a, b, path.replace(/\/$/, ""), found);
      return;
    }
    if (isArray(a) && isArray(b)) {
      for (let i = 0; i < Math.max(a.length, b.length); i++) compareValues(a[i], b[i], `${path}[${i}]`, found);
      return;
    }
    if (a instanceof Uint8Array && b instanceof Uint8Array) {
      if (a.length === b.length && a.every((byte, i) => byte === b[i])) return;
    } else if (a === b) return;
  }
  found.push({ path, a, b });
}

/** By name; QEMU repeats names now and then, so those behind the first have their number with them. */
function occurrences<T extends { readonly name: string }>(items: readonly T[]): Map<string, T> {
  const named = new Map<string, T>();
  const seen = new Map<string, number>();
  for (const item of items) {
    let name = item.name;
    let n = seen.get(item.name) ?? 1;
    // A field may be called like that as it is.
    while (named.has(name)) name = `${item.name}#${++n}`;
    seen.set(item.name, n);
    named.set(name, item);
  }
  return named;
}

function pair<T>(a: Map<string, T>, b: Map<string, T>, visit: (name: string, a?: T, b?: T) => void): void {
  for (const [name, left] of a) visit(name, left, b.get(name));
  for (const [name, right] of b) if (!a.has(name)) visit(name, undefined, right);
}
