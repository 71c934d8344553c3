/** Devices, CPUs and addresses of the sides, as the page shows them. */
import { hexWord, printable } from "../../bytes/text.ts";
import { type DeviceState, type DeviceValue, isArray, isState } from "../../devices/tree.ts";
import { FixedramError } from "../../errors.ts";
import type { Cpu } from "../../machine/cpu.ts";
import { x86GeneralNames } from "../../machine/cpu-x86.ts";
import type {
  ViewCpu,
  ViewDevice,
  ViewDeviceTree,
  ViewField,
  ViewRegisters,
  ViewTranslation,
} from "../shared/protocol.ts";
import { hex } from "../shared/units.ts";
import type { Side } from "./side.ts";

const mostFields = 20_000;
const mostBytes = 64;

/** Every device section; those of OTHER alone come last. */
export function listDevices(side: Side, other: Side | undefined): readonly ViewDevice[] {
  const theirs = new Map(other?.snapshot.devices.map((each) => [`${each.instance} ${each.name}`, each]));
  const list = side.snapshot.devices.map(({ name, instance, version, payload }): ViewDevice => {
    const there = theirs.get(`${instance} ${name}`);
    theirs.delete(`${instance} ${name}`);
    const differs =
      other === undefined
        ? null
        : there === undefined
          ? "added"
          : Buffer.compare(payload, there.payload) === 0
            ? "same"
            : "changed";
    return { label: printable(name), instance, version, size: payload.length, differs };
  });
  const gone = [...theirs.values()].map(
    ({ name, instance, version, payload }): ViewDevice => ({
      ...{ label: printable(name), instance, version, size: payload.length, differs: "gone" },
    }),
  );
  return [...list, ...gone];
}

/**
 * A device's tree as lines, with what OTHER has where it differs.
 *
 * @throws `stream.no-vmdesc`, `stream.vmdesc-invalid`, `stream.device-fields`; `usage.bad-number`
 */
export function deviceTree(side: Side, other: Side | undefined, index: number): ViewDeviceTree {
  const record = side.snapshot.devices[index];
  if (record === undefined) throw new FixedramError("usage.bad-number", "there is no such device");
  const here: Line[] = [];
  stateLines(side.inside.sections.decode(record).state, 0, "", here);
  const there = new Map<string, string | null>();
  const match = other?.inside.sections.find(record.name, record.instance) ?? null;
  if (match !== null) {
    const lines: Line[] = [];
    stateLines(match.state, 0, "", lines);
    for (const { path, value } of lines) there.set(path, value);
  }
  const fields = here.slice(0, mostFields).map(({ depth, name, type, value, path }): ViewField => {
    const another = there.get(path);
    const differs = match !== null && value !== null && another !== undefined && another !== value;
    return { depth, name, type, value, other: differs ? another : null };
  });
  return { fields, left: here.length - fields.length };
}

interface Line {
  readonly depth: number;
  readonly name: string;
  readonly type: string;
  readonly value: string | null;
  /** Tells a line from every other of its tree. */
  readonly path: string;
}

function stateLines(state: DeviceState, depth: number, path: string, into: Line[]): void {
  for (const [i, field] of state.fields.entries())
    valueLines(printable(field.name), printable(field.type), field.value, depth, `${path}/${i}${field.name}`, into);
  for (const each of state.subsections) {
    const inner = `${path}/${each.name}`;
    into.push({ depth, name: printable(each.name), type: "subsection", value: null, path: inner });
    stateLines(each, depth + 1, inner, into);
  }
}

function valueLines(name: string, type: string, value: DeviceValue, depth: number, path: string, into: Line[]): void {
  if (isState(value)) {
    into.push({ depth, name, type, value: null, path });
    stateLines(value, depth + 1, path, into);
  } else if (isArray(value) && value.some(isState)) {
    into.push({ depth, name, type: type.replace("[]", `[${value.length}]`), value: null, path });
    for (const [i, each] of value.entries()) valueLines(`[${i}]`, "", each, depth + 1, `${path}/${i}`, into);
  } else into.push({ depth, name, type, value: valueText(value), path });
}

function valueText(value: DeviceValue): string {
  if (value === null) return "null";
  if (typeof value === "boolean") return String(value);
  if (typeof value === "number" || typeof value === "bigint") return numberText(value);
  if (value instanceof Uint8Array) return bytesText(value);
  if (isArray(value)) {
    const shown = value.slice(0, mostBytes).map(valueText).join(" ");
    return value.length > mostBytes ? `${shown} … (${value.length})` : shown;
  }
  return "";
}

/** What is small is a count, what is large is a mask or an address. */
function numberText(value: number | bigint): string {
  if (value < 0) return String(value);
  return value < 10 ? String(value) : `0x${value.toString(16)}`;
}

function bytesText(bytes: Uint8Array): string {
  if (bytes.every((byte) => byte === 0)) return `${bytes.length} zero bytes`;
  const shown = Buffer.from(bytes.subarray(0, mostBytes)).toString("hex");
  return bytes.length > mostBytes ? `${shown} … (${bytes.length} bytes)` : shown;
}

/** @throws `stream.no-cpu`, `stream.unknown-cpu`, `stream.no-vmdesc`, `stream.device-fields` */
export function listCpus(side: Side, other: Side | undefined): readonly ViewCpu[] {
  const theirs = new Map<string, string>();
  for (const cpu of other === undefined ? [] : cpusOrNone(other))
    for (const { title, values } of registersOf(cpu))
      for (const [name, value] of values) theirs.set(`${cpu.index} ${title} ${name}`, value);
  return side.inside.cpus.map((cpu) => ({
    index: cpu.index,
    state: stateOf(cpu),
    groups: registersOf(cpu).map(({ title, values }): ViewRegisters => {
      const registers = values.map(([name, value]): ViewRegisters["registers"][number] => {
        const there = theirs.get(`${cpu.index} ${title} ${name}`);
        return [name, value, there === undefined || there === value ? null : there];
      });
      return { title, registers };
    }),
  }));
}

/** What cannot be said of OTHER's CPUs is not compared; the file's own are still shown. */
function cpusOrNone(side: Side): readonly Cpu[] {
  try {
    return side.inside.cpus;
  } catch (error) {
    if (error instanceof FixedramError) return [];
    throw error;
  }
}

function stateOf(cpu: Cpu): readonly string[] {
  const halted = cpu.halted === true ? ["halted"] : [];
  if (cpu.arch === "aarch64") return [`aarch64, EL${cpu.el}`, ...halted];
  const paging = cpu.paging === "none" ? "no paging" : `${cpu.paging} paging`;
  const special = [...(cpu.smm ? ["system management mode"] : []), ...(cpu.nested ? ["in a nested guest"] : [])];
  return [`${cpu.mode} mode`, paging, `privilege level ${cpu.cpl}`, ...special, ...halted];
}

interface Group {
  readonly title: string;
  readonly values: readonly (readonly [string, string])[];
}

function registersOf(cpu: Cpu): readonly Group[] {
  const pairs = (entries: readonly (readonly [string, bigint])[]) =>
    entries.map(([name, value]) => [name, hexWord(value)] as const);
  if (cpu.arch === "aarch64") {
    const general = cpu.registers.map((value, i): [string, bigint] => [i === 31 ? "sp" : `x${i}`, value]);
    return [
      { title: "General", values: pairs([...general, ["pc", cpu.pc], ["pstate", cpu.pstate]]) },
      { title: "Banked", values: pairs(Object.entries(cpu.banked)) },
      { title: "System", values: pairs(Object.entries(cpu.system)) },
    ];
  }
  const { registers, rip, rflags, segments, gdt, idt, cr0, cr2, cr3, cr4, debug, msrs } = cpu;
  const general = x86GeneralNames.map((name): [string, bigint] => [name, registers[name] ?? 0n]);
  const tables = [["gdt", gdt] as const, ["idt", idt] as const];
  const control: [string, bigint][] = [
    ["cr0", cr0],
    ["cr2", cr2],
    ["cr3", cr3],
    ["cr4", cr4],
  ];
  return [
    { title: "General", values: pairs([...general, ["rip", rip], ["rflags", rflags]]) },
    { title: "Control", values: pairs(control) },
    {
      title: "Segments",
      values: [
        ...Object.entries(segments).map(
          ([name, { selector, base, limit }]) =>
            [name, `${selector.toString(16).padStart(4, "0")}  base ${hexWord(base)}  limit ${hex(limit)}`] as const,
        ),
        ...tables.map(([name, { base, limit }]) => [name, `base ${hexWord(base)}  limit ${hex(limit)}`] as const),
      ],
    },
    { title: "Debug", values: pairs(debug.map((value, i): [string, bigint] => [`dr${i}`, value])) },
    { title: "Model-specific", values: pairs(Object.entries(msrs)) },
  ];
}

/** @throws `usage.bad-number`, `usage.not-mapped`, `usage.no-memory`, `usage.no-such-cpu`, `file.*`, `stream.*` */
export async function translateAddress(side: Side, text: string, cpu: number): Promise<ViewTranslation> {
  if (!/^0x[0-9a-f]{1,16}$/i.test(text)) {
    throw new FixedramError("usage.bad-number", "that is no virtual address", {
      found: text,
      expected: "0x and digits",
    });
  }
  const found = await side.inside.translate(BigInt(text), cpu);
  if (!found.mapped) throw new FixedramError("usage.not-mapped", found.reason);
  const [run] = side.inside.physical.resolve(found.physical, 1);
  if (run === undefined) throw new FixedramError("usage.no-memory", "there is no memory at that address");
  const { write, user, execute } = found.rights;
  const rights = [write ? "write" : "read-only", execute ? "execute" : "no execute", user ? "user" : "kernel"];
  return {
    block: run.block.index,
    offset: run.offset,
    physical: found.physical,
    pageSize: found.pageSize,
    rights: rights.join(", "),
  };
}
