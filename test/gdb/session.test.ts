import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type GdbWire, serveGdb } from "../../src/gdb/connection.ts";
import { encodePacket, hexText, PacketReader, packetBytes } from "../../src/gdb/packets.ts";
import { type RegisterSet, registersOf as registersOfAll } from "../../src/gdb/registers.ts";
import { GdbSession, type GdbTarget } from "../../src/gdb/session.ts";
import type { Cpu } from "../../src/machine/cpu.ts";
import { x86 } from "../machine/sample.ts";

/** Of a machine with one CPU. */
const registersOf = (cpu: Cpu): RegisterSet => {
  const [set] = registersOfAll([cpu]);
  if (set === undefined) throw new Error("no registers");
  return set;
};

const latin = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

/** What a reader tells of these bytes, cut into pieces of this size. */
function told(bytes: Uint8Array, piece = 1000): string[] {
  const events: string[] = [];
  const reader = new PacketReader({
    packet: (data) => events.push(`packet ${data}`),
    broken: () => events.push("broken"),
    again: () => events.push("again"),
    interrupt: () => events.push("interrupt"),
  });
  for (let at = 0; at < bytes.length; at += piece) reader.push(bytes.subarray(at, at + piece));
  return events;
}

describe("packets", () => {
  test("come back as they were sent, in any pieces", () => {
    const data = fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
      maxLength: 300,
    });
    const property = fc.property(fc.array(data, { maxLength: 5 }), fc.integer({ min: 1, max: 50 }), (all, piece) => {
      const bytes = Buffer.concat(all.map(encodePacket));
      expect(told(bytes, piece)).toEqual(all.map((each) => `packet ${each}`));
    });
    fc.assert(property);
  });

  test.each([
    ["an acknowledgement, a packet", "+$g#67", ["packet g"]],
    ["a wrong sum", "$g#68", ["broken"]],
    ["a sum that is no number", "$g#zz$g#67", ["broken", "packet g"]],
    ["a request to send again", "-", ["again"]],
    ["Ctrl-C", "\x03", ["interrupt"]],
    ["rubbish between packets", "hello$g#67world", ["packet g"]],
    ["a packet that begins anew", "$m12$g#67", ["packet g"]],
    ["an escape at the end", "$}#7d", ["packet  "]],
    ["one that is cut", "$m1234", []],
  ])("%s", (_, bytes, expected) => {
    expect(told(latin(bytes), 1)).toEqual(expected);
    expect(told(latin(bytes))).toEqual(expected);
  });

  test("an escape at the end takes nothing of the packet before it", () =>
    expect(told(latin("$abcdef#55$}#7d"))).toEqual(["packet abcdef", "packet  "]));

  test("longer than was agreed are refused, whatever their length, and the next is taken", () => {
    const long = encodePacket("x".repeat(packetBytes + 1));
    expect(told(Buffer.concat([long, encodePacket("?")]), 999)).toEqual(["broken", "packet ?"]);
    expect(told(encodePacket("x".repeat(packetBytes)))).toEqual([`packet ${"x".repeat(packetBytes)}`]);
  });
});

const cpu = x86({ rip: 0xffff_ffff_8100_0010n, rflags: 0x246n });
const memory = Uint8Array.from({ length: 256 }, (_, i) => i);

const target: GdbTarget = {
  cpus: [
    { name: "CPU 0", ...registersOf(cpu) },
    { name: "CPU 1, halted", ...registersOf(x86({ index: 1 })) },
  ],
  async read(place, address, length, physical) {
    const base = physical ? 0x5000n : place === 0 ? 0x1000n : 0x2000n;
    const at = Number(address - base);
    return at < 0 || at > memory.length ? new Uint8Array(0) : memory.subarray(at, at + length);
  },
};

async function answers(...packets: string[]): Promise<(string | undefined)[]> {
  const session = new GdbSession(target);
  const found: (string | undefined)[] = [];
  for (const packet of packets) found.push((await session.answer(packet)).data.join("|"));
  return found;
}

describe("a session", () => {
  test("memory is that of the chosen CPU, as much as can be read", async () => {
    expect(await answers("m1000,4", "Hg2", "m1000,4", "m2000,4", "m20fe,10", "m5000,1")).toEqual([
      "00010203",
      "OK",
      "E0e",
      "00010203",
      "feff",
      "E0e",
    ]);
    expect(await answers("Qqemu.PhyMemMode:1", "m5000,2", "qqemu.PhyMemMode", "Qqemu.PhyMemMode:2")).toEqual([
      "OK",
      "0001",
      "1",
      "E16",
    ]);
  });

  test("threads are CPUs", async () => {
    expect(await answers("qfThreadInfo", "qsThreadInfo", "T1", "T2", "T3", "T0", "Hc-1", "Hg0", "Hg3", "qC")).toEqual([
      "m1,2",
      "l",
      "OK",
      "OK",
      "E01",
      "OK",
      "OK",
      "OK",
      "E01",
      "QC1",
    ]);
    expect(await answers("Hg2", "?", "qThreadExtraInfo,2", "qThreadExtraInfo,9")).toEqual([
      "OK",
      "T05thread:2;",
      hexText("CPU 1, halted"),
      "E01",
    ]);
  });

  test("thread numbers are hexadecimal everywhere", async () => {
    const cpus = Array.from({ length: 17 }, (_, index) => ({ name: `CPU ${index}`, ...registersOf(x86({ index })) }));
    const session = new GdbSession({ ...target, cpus });
    const asked = async (packet: string) => (await session.answer(packet)).data.at(-1);
    expect([await asked("Hg10"), await asked("?"), await asked("qC")]).toEqual(["OK", "T05thread:10;", "QC10"]);
    expect([await asked("c"), session.interrupt().data[0]]).toEqual(["T05thread:10;", "T02thread:10;"]);
    expect(await asked("qfThreadInfo")).toMatch(/,9,a,b,c,d,e,f,10,11$/);
    expect(await asked("qXfer:threads:read::0,fff")).toContain('<thread id="11" core="16">');
  });

  test("registers: all, one, none such", async () => {
    const [all = "", rip, wrong] = await answers("g", "p10", "p1000");
    expect(rip).toBe("10000081ffffffff");
    expect(wrong).toBe("E16");
    const { description, registers } = registersOf(cpu);
    const bits = [...description.matchAll(/bitsize="(\d+)"/g)].map((match) => Number(match[1]));
    expect(registers.map(({ length }) => length * 8)).toEqual(bits);
    expect(all.length).toBe(bits.reduce((sum, each) => sum + each, 0) / 4);
  });

  test("a machine of which no CPU is in long mode has 32-bit registers, alike for all", () => {
    const narrow = x86({ mode: "protected-32", msrs: {}, rip: 0xc000_1234n });
    const real = x86({ index: 1, mode: "real", msrs: { efer: 0n } });
    for (const { description, registers } of registersOfAll([narrow, real])) {
      expect(description).toContain("<architecture>i386</architecture>");
      const bits = [...description.matchAll(/bitsize="(\d+)"/g)].map((match) => Number(match[1]));
      expect(registers.map(({ length }) => length * 8)).toEqual(bits);
    }
    expect(registersOf(narrow).registers[8]).toEqual(Uint8Array.of(0x34, 0x12, 0, 0xc0));
    // With one that is, all are 64 bits wide.
    for (const { description } of registersOfAll([x86(), real])) expect(description).toContain("i386:x86-64");
  });

  test("nothing can be changed or run", async () => {
    for (const packet of ["G00", "P10=00", "M1000,1:ff"]) expect(await answers(packet)).toEqual(["E1e"]);
    for (const packet of ["X1000,0:", "Z0,1000,1", "z0,1000,1"]) expect(await answers(packet)).toEqual([""]);
    for (const packet of ["c", "s", "C05", "S05", "vCont;c", "vCont;s:1"]) {
      const [said] = await answers(packet);
      expect(said).toMatch(/^O[0-9a-f]+\|T05thread:1;$/);
    }
    expect(new GdbSession(target).interrupt()).toEqual({ data: ["T02thread:1;"] });
  });

  test("the description comes in parts of any size", async () => {
    const { description } = registersOf(cpu);
    for (const size of [1000, 3, 0xffff]) {
      const session = new GdbSession(target);
      let found = "";
      for (let more = true; more; ) {
        const at = found.length.toString(16);
        const [part = ""] = (await session.answer(`qXfer:features:read:target.xml:${at},${size.toString(16)}`)).data;
        more = part.startsWith("m");
        found += part.slice(1);
      }
      expect(found).toBe(description);
    }
    expect((await answers("qXfer:threads:read::0,fff"))[0]).toContain('<thread id="2" core="1">CPU 1, halted</thread>');
  });

  test("what is not known is answered with nothing, what makes no sense with an error", async () => {
    for (const packet of [
      "",
      "!",
      "R00",
      "vMustReplyEmpty",
      "qTStatus",
      "qXfer:auxv:read::0,10",
      "qXfer:features:write:x:0:",
    ])
      expect(await answers(packet)).toEqual([""]);
    for (const packet of [
      "m",
      "m1000",
      "mxyz,4",
      "m1000,-1",
      "m11112222333344445,1",
      "p",
      "pzz",
      "qXfer:features:read:target.xml:0",
    ])
      expect(await answers(packet), packet).toEqual(["E16"]);
    expect(await answers("qXfer:features:read:other.xml:0,10")).toEqual(["E00"]);
    const [supported = ""] = await answers("qSupported:multiprocess+");
    for (const feature of ["PacketSize=4000", "QStartNoAckMode+", "qXfer:features:read+"])
      expect(supported).toContain(feature);
    expect(await answers("vCont?", "qAttached", "qSymbol::")).toEqual(["vCont;c;C;s;S", "1", "OK"]);
  });

  test("no packet makes it fail", async () => {
    const alphabet = fc.constantFrom(..."?gGpPmMXHTcsDkqQvZz0123456789abcdef,:;=-+xXferadtgC");
    const data = fc.string({ unit: alphabet, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(data, async (packet) => void (await new GdbSession(target).answer(packet))),
      { numRuns: 500 },
    );
  });

  test("a huge read is cut to what a packet holds", async () => {
    const wide: GdbTarget = { ...target, read: async (_, __, length) => new Uint8Array(length) };
    const { data } = await new GdbSession(wide).answer("m0,ffffffff");
    expect(encodePacket(data[0] ?? "").length).toBeLessThanOrEqual(packetBytes + 4);
  });
});

describe("x86 registers", () => {
  test("st(0) is the top of the stack, tags have two bits", () => {
    const registers = Array.from({ length: 8 }, (_, i) => ({ mantissa: BigInt(i), exponent: 1 }));
    const fpu = { control: 0x37f, status: 6 * 2 ** 11, tags: 0b1100_0000, registers, mxcsr: 0x1f80, vectors: [] };
    const { registers: all, description } = registersOf(x86({ fpu }));
    const names = [...description.matchAll(/<reg name="(\w+)"/g)].map((match) => match[1]);
    const of = (name: string) => [...(all[names.indexOf(name)] ?? [])];
    expect(of("st0")).toEqual([6, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    expect(of("st2")[0]).toBe(0);
    expect(of("ftag")).toEqual([0xff, 0x0f, 0, 0]);
    expect(names).not.toContain("ymm0h");
  });

  test("upper halves of vectors are shown where they were saved", () => {
    const vectors = Array.from({ length: 16 }, (_, i) => [BigInt(i), 0n, 7n, 8n]);
    const { registers, description } = registersOf(x86({ fpu: { ...x86().fpu, vectors } }));
    const names = [...description.matchAll(/<reg name="(\w+)"/g)].map((match) => match[1]);
    expect(registers[names.indexOf("ymm3h")]?.[0]).toBe(7);
    expect(registers[names.indexOf("xmm3")]?.[0]).toBe(3);
  });
});

describe("a connection", () => {
  /** Sends these pieces, and collects what comes. */
  async function talk(...pieces: string[]): Promise<[number, string]> {
    let out = "";
    const wire: GdbWire = {
      input: (async function* () {
        for (const piece of pieces) yield latin(piece);
      })(),
      write(bytes) {
        out += text(bytes);
      },
    };
    return [await serveGdb(wire, target), out];
  }
  const packet = (data: string) => text(encodePacket(data));

  test("acknowledges, asks again, sends again", async () => {
    expect(await talk("$qC#b4", "-", "$qC#00", "+")).toEqual([1, `+${packet("QC1")}${packet("QC1")}-`]);
  });

  test("answers once what gdb sent again before anybody listened", async () => {
    const twice = packet("qC") + packet("qC");
    expect(await talk(twice, packet("qAttached"))).toEqual([2, `+${packet("QC1")}+${packet("1")}`]);
    expect(await talk(packet("QStartNoAckMode"), twice)).toEqual([
      3,
      `+${packet("OK")}${packet("QC1")}${packet("QC1")}`,
    ]);
  });

  test("without acknowledgements from the moment it was agreed", async () => {
    expect(await talk(packet("QStartNoAckMode"), packet("qC"), "-", "$qC#00")).toEqual([
      2,
      `+${packet("OK")}${packet("QC1")}`,
    ]);
  });

  test("ends with a detach, a kill, or when gdb goes away", async () => {
    expect(await talk(packet("D"), packet("qC"))).toEqual([1, `+${packet("OK")}`]);
    expect(await talk(packet("k"), packet("qC"))).toEqual([1, "+"]);
    expect(await talk("$m12")).toEqual([0, ""]);
  });

  test("is interrupted", async () => {
    expect(await talk("\x03")).toEqual([0, packet("T02thread:1;")]);
  });
});
