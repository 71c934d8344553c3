/** What gdb may send: packets in any pieces, a session that answers each, and a whole connection. */
import type { GdbTarget } from "../../../../src/gdb/session.ts";
import type { Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import { bytesOfText, Choices, codeOf } from "./shared.ts";

const packetBytes = 16 * 1024;
const CTRL_C = String.fromCharCode(3);
const memory = Uint8Array.from({ length: 4096 }, (_, i) => i);
const target: GdbTarget = {
  cpus: [0, 1].map((i) => ({
    name: `CPU ${i}`,
    description: "<target/>",
    registers: [Uint8Array.of(1, 2), Uint8Array.of(i, 0, 0, 0)],
  })),
  async read(_cpu, address, length) {
    const at = Number(address);
    return at >= memory.length ? new Uint8Array(0) : memory.subarray(at, at + length);
  },
};

const said = [
  ...["?", "g", "p0", "p1", "pff", "m10,20", "m0,ffffffffffffffff", "m1001,1", "m1", "m,", "M0,1:00", "G00", "P1=00"],
  ...["Hg1", "Hg2", "Hg0", "Hc-1", "Hg3", "T1", "T3", "c", "C05", "s", "S05", "D", "k", "qC", "qfThreadInfo"],
  ...["qsThreadInfo", "qThreadExtraInfo,1", "qThreadExtraInfo,9", "qSymbol::", "qAttached", "QStartNoAckMode"],
  ...["qSupported:xmlRegisters=i386", "qXfer:features:read:target.xml:0,40", "qXfer:features:read:no:0,1"],
  ...["qXfer:threads:read::0,1000", "qXfer:threads:write::0,1", "qXfer:memory:read::0,1", "qXfer:threads:read::x"],
  ...["qqemu.PhyMemMode", "Qqemu.PhyMemMode:1", "Qqemu.PhyMemMode:0", "Qqemu.PhyMemMode:2", "vCont?", "vCont;c"],
  ...["vKill;1", "vMustReplyEmpty", "X0,1:", "Z0,0,1", ""],
];

function events(lib: FuzzLib, bytes: Uint8Array, cut: () => number): string[] {
  const list: string[] = [];
  const reader = new lib.PacketReader({
    packet: (data) => list.push(`packet ${data}`),
    broken: () => list.push("broken"),
    again: () => list.push("again"),
    interrupt: () => list.push("interrupt"),
  });
  for (let at = 0; at < bytes.length; ) {
    const size = cut();
    reader.push(bytes.subarray(at, at + size));
    at += size;
  }
  return list;
}

/** Packets by a regular expression: the plain model of the reader. */
function plainEvents(bytes: Uint8Array): string[] {
  const text = Buffer.from(bytes).toString("latin1");
  const list: string[] = [];
  const token = new RegExp(`\\$[^#]*#[\\s\\S]{2}|\\$[\\s\\S]*|-|${CTRL_C}`, "g");
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [each] = match;
    if (each === "-") list.push("again");
    else if (each === CTRL_C) list.push("interrupt");
    else if (/#[\s\S]{2}$/.test(each)) {
      const data = each.slice(each.lastIndexOf("$", each.length - 3) + 1, -3);
      const sum = [...data].reduce((total, letter) => (total + letter.charCodeAt(0)) % 256, 0);
      const digits = each.slice(-2);
      const right = /^[0-9a-f]{2}$/i.test(digits) && Number.parseInt(digits, 16) === sum;
      const plain = `${data}\0`.match(/}[\s\S]|[^}]/g)?.map(unescaped) ?? [];
      // The byte that is put behind it is gone where it was escaped.
      const kept = data.replace(/}[\s\S]/g, "").endsWith("}") ? plain : plain.slice(0, -1);
      list.push(right && data.length <= packetBytes ? `packet ${kept.join("")}` : "broken");
    }
  }
  return list;
}

const unescaped = (token: string): string =>
  token.length === 2 ? String.fromCharCode(token.charCodeAt(1) ^ 0x20) : token;

/** The input as packets: known ones and their changes, or bytes as they are. */
function wire(lib: FuzzLib, input: Uint8Array): Uint8Array {
  const choices = new Choices(input);
  const parts: Uint8Array[] = [];
  while (choices.left) {
    const kind = choices.below(8);
    if (kind < 5) {
      let text = said[choices.byte() % said.length] ?? "";
      if (kind > 2) {
        const at = choices.below(text.length + 1);
        text = text.slice(0, at) + String.fromCharCode(choices.byte()) + text.slice(at + choices.below(3));
      }
      parts.push(lib.encodePacket(text));
    } else if (kind === 5) parts.push(Uint8Array.of(choices.byte()));
    else {
      const length = choices.below(12);
      parts.push(Uint8Array.from({ length }, () => choices.byte()));
    }
  }
  return Buffer.concat(parts);
}

export function gdbTarget(lib: FuzzLib): Target {
  return {
    name: "gdb",
    meant: /^gdb\/(packets|session|connection)/,
    seeds: [
      Uint8Array.from(said, (_, i) => (i % 2 === 0 ? 0 : i)),
      Uint8Array.from({ length: said.length * 2 }, (_, i) => (i % 2 === 0 ? 0 : (i - 1) / 2)),
    ],
    words: [
      Uint8Array.of(0, 5),
      Uint8Array.of(3, 5, 1, 0x7d),
      Uint8Array.of(7, 4, 0x24, 0x67, 0x23, 0x36),
      ...["$g#67", "}", "*"].map(bytesOfText),
    ],
    most: 200,
    run: async (input, random) => {
      const bytes = wire(lib, input);
      const whole = events(lib, bytes, () => bytes.length);
      const most = 1 + random.below(40);
      const pieces = events(lib, bytes, () => 1 + random.below(most));
      if (whole.join("\n") !== pieces.join("\n")) throw new Error("packets depend on how they come");
      const model = plainEvents(bytes);
      if (whole.join("\n") !== model.join("\n"))
        throw new Error(`${whole.join("|")}, the plain model: ${model.join("|")}`);
      const session = new lib.GdbSession(target);
      for (const event of whole) if (event.startsWith("packet ")) await answered(session, event.slice(7));
    },
    thorough: (input) => served(lib, wire(lib, input)),
  };
}

/** An answer is what gdb can take. */
async function answered(session: InstanceType<FuzzLib["GdbSession"]>, data: string): Promise<void> {
  for (const each of (await session.answer(data)).data)
    if (each.length > packetBytes) throw new Error(`an answer of ${each.length} bytes`);
}

async function served(lib: FuzzLib, bytes: Uint8Array): Promise<void> {
  const sent: Uint8Array[] = [];
  async function* input() {
    for (let at = 0; at < bytes.length; at += 7) yield bytes.subarray(at, at + 7);
  }
  try {
    await lib.serveGdb({ input: input(), write: (each) => void sent.push(each) }, target);
  } catch (error) {
    codeOf(error);
  }
}
