import { hexText, packetBytes } from "./packets.ts";
import type { RegisterSet } from "./registers.ts";

/** What a session shows: CPUs, by their place in the list, and memory as they see it. */
export interface GdbTarget {
  readonly cpus: readonly GdbCpu[];
  /**
   * Reads memory from a virtual (or physical) address on: as many bytes as there are before the first that cannot be read, up
   * to `length`.
   */
  read(cpu: number, address: bigint, length: number, physical: boolean): Promise<Uint8Array>;
}

export interface GdbCpu extends RegisterSet {
  /** What a person is told of it. */
  readonly name: string;
}

/** `data`: packets to send, in order. `end`: nothing more comes. */
export interface Reply {
  readonly data: readonly string[];
  readonly end?: true;
}

/** SIGTRAP: what a debugger takes a standing program for. */
const stopped = 5;
const malformed = "E16";
/** EROFS. */
const readOnly = "E1e";
const notRunning = "A saved guest does not run. It can be looked at; to let it run, resume it.\n";

/**
 * One gdb at one saved guest: a packet's data in, the answer out. Nothing of the guest can be changed. Packets that are not
 * known are answered with nothing, as the protocol wants it; those that make no sense with an error.
 */
export class GdbSession {
  readonly #target: GdbTarget;
  /** Place of the CPU whose registers and memory are asked for. */
  #cpu = 0;
  #physical = false;
  /** No more acknowledgements from the next packet on. */
  noAck = false;

  constructor(target: GdbTarget) {
    this.#target = target;
  }

  async answer(data: string): Promise<Reply> {
    const [command = ""] = data;
    switch (command) {
      case "?":
        return this.#stop();
      case "g":
        return said(this.#cpuNow().registers.map(hex).join(""));
      case "p":
        return this.#register(data.slice(1));
      case "m":
        return await this.#memory(data.slice(1));
      case "G":
      case "P":
      case "M":
        return said(readOnly);
      case "H":
        return this.#choose(data.slice(1));
      case "T":
        return said(this.#placeOf(data.slice(1)) === null ? "E01" : "OK");
      case "c":
      case "C":
      case "s":
      case "S":
        return this.#cannotRun();
      case "D":
        return { data: ["OK"], end: true };
      case "k":
        return { data: [], end: true };
      case "q":
      case "Q":
        return this.#query(data);
      case "v":
        return this.#verb(data);
      default:
        return said("");
    }
  }

  /** gdb wants the program stopped: it stands. */
  interrupt(): Reply {
    return said(`T02thread:${threadOf(this.#cpu)};`);
  }

  #cpuNow(): GdbCpu {
    const cpu = this.#target.cpus[this.#cpu];
    if (cpu === undefined) throw new RangeError(`no CPU ${this.#cpu}`);
    return cpu;
  }

  #stop(): Reply {
    return said(`T${stopped.toString(16).padStart(2, "0")}thread:${threadOf(this.#cpu)};`);
  }

  #cannotRun(): Reply {
    return { data: [`O${hexText(notRunning)}`, ...this.#stop().data] };
  }

  #register(text: string): Reply {
    const number = hexNumber(text);
    const register = number === null ? undefined : this.#cpuNow().registers[Number(number)];
    return said(register === undefined ? malformed : hex(register));
  }

  async #memory(text: string): Promise<Reply> {
    const [address, length] = text.split(",").map(hexNumber);
    if (address == null || length == null) return said(malformed);
    const most = Math.min(Number(length), Math.floor(packetBytes / 2) - 8);
    if (most === 0) return said("");
    const bytes = await this.#target.read(this.#cpu, address, most, this.#physical);
    // EFAULT.
    return said(bytes.length === 0 ? "E0e" : hex(bytes));
  }

  /** `g5`: the thread for what follows. 0 and -1: any. */
  #choose(text: string): Reply {
    const place = this.#placeOf(text.slice(1));
    if (place === null) return said("E01");
    if (text.startsWith("g") && place >= 0) this.#cpu = place;
    return said("OK");
  }

  /** Place of the CPU with this thread number; -1 for any, null for none. */
  #placeOf(text: string): number | null {
    if (text === "-1" || text === "0") return -1;
    const number = hexNumber(text);
    return number === null || number < 1n || number > this.#target.cpus.length ? null : Number(number) - 1;
  }

  #query(data: string): Reply {
    const [name = "", ...rest] = data.split(/[:,;]/);
    switch (name) {
      case "qSupported":
        return said(
          `PacketSize=${packetBytes.toString(16)};QStartNoAckMode+;qXfer:features:read+;qXfer:threads:read+;vContSupported+`,
        );
      case "QStartNoAckMode":
        this.noAck = true;
        return said("OK");
      case "qAttached":
        return said("1");
      case "qC":
        return said(`QC${threadOf(this.#cpu)}`);
      case "qfThreadInfo":
        return said(`m${this.#target.cpus.map((_, i) => threadOf(i)).join(",")}`);
      case "qsThreadInfo":
        return said("l");
      case "qThreadExtraInfo": {
        const place = this.#placeOf(rest[0] ?? "");
        return said(place === null || place < 0 ? "E01" : hexText(this.#target.cpus[place]?.name ?? ""));
      }
      case "qSymbol":
        return said("OK");
      case "qXfer":
        return this.#transfer(data);
      // QEMU's way to physical memory: maintenance packet Qqemu.PhyMemMode:1
      case "qqemu.PhyMemMode":
        return said(this.#physical ? "1" : "0");
      case "Qqemu.PhyMemMode":
        if (rest[0] !== "0" && rest[0] !== "1") return said(malformed);
        this.#physical = rest[0] === "1";
        return said("OK");
      default:
        return said("");
    }
  }

  /** qXfer:OBJECT:read:ANNEX:OFFSET,LENGTH */
  #transfer(data: string): Reply {
    const [, object, verb, annex, range = ""] = data.split(":");
    if (verb !== "read") return said("");
    const text =
      object === "features" && annex === "target.xml"
        ? this.#cpuNow().description
        : object === "threads" && annex === ""
          ? this.#threads()
          : null;
    if (text === null) return said(object === "features" || object === "threads" ? "E00" : "");
    const [from, length] = range.split(",").map(hexNumber);
    if (from == null || length == null) return said(malformed);
    const start = Number(from);
    const end = start + Math.min(Number(length), packetBytes - 8);
    return said(`${end < text.length ? "m" : "l"}${text.slice(start, end)}`);
  }

  #threads(): string {
    const lines = this.#target.cpus.map(({ name }, i) => `<thread id="${threadOf(i)}" core="${i}">${name}</thread>`);
    return `<?xml version="1.0"?><threads>${lines.join("")}</threads>`;
  }

  #verb(data: string): Reply {
    if (data === "vCont?") return said("vCont;c;C;s;S");
    if (data.startsWith("vCont;")) return this.#cannotRun();
    if (data.startsWith("vKill")) return { data: ["OK"], end: true };
    return said("");
  }
}

/** A CPU's thread, as every packet has it: hexadecimal, from 1 on. */
function threadOf(place: number): string {
  return (place + 1).toString(16);
}

function said(data: string): Reply {
  return { data: [data] };
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A hexadecimal number of up to 64 bits; null for anything else. */
function hexNumber(text: string): bigint | null {
  return /^[0-9a-f]{1,16}$/i.test(text) ? BigInt(`0x${text}`) : null;
}
