/**
 * Packets of gdb's remote serial protocol ("Debugging with GDB", appendix E, "Overview" and "Packet Acknowledgment"):
 *
 *     $DATA#CC     CC: the sum of DATA's bytes modulo 256, two hexadecimal digits
 *     + -          the last packet came well, or is to be sent again
 *     03           gdb wants the program stopped
 *
 * In DATA, `}` escapes: the byte after it is XORed with 0x20.
 */
import { latin1 } from "../bytes/text.ts";

export interface PacketEvents {
  /** A packet's data, unescaped, a character a byte. */
  packet(data: string): void;
  /** A packet whose sum is wrong, or that is too long: it has no data then. */
  broken(): void;
  again(): void;
  interrupt(): void;
}

const DOLLAR = 0x24;
const HASH = 0x23;
const ESCAPE = 0x7d;
const STAR = 0x2a;
const MINUS = 0x2d;
const INTERRUPT = 0x03;

/** Longest packet that is taken, bytes of data as they come. gdb is told so ("PacketSize"). */
export const packetBytes = 16 * 1024;

/** Takes a connection's bytes in any pieces; tells what comes, in order. What stands between packets is passed over. */
export class PacketReader {
  readonly #events: PacketEvents;
  readonly #data = new Uint8Array(packetBytes);
  #state: "between" | "data" | "first digit" | "second digit" = "between";
  #length = 0;
  #sum = 0;
  #claimed = 0;
  #tooLong = false;

  constructor(events: PacketEvents) {
    this.#events = events;
  }

  push(bytes: Uint8Array): void {
    for (const byte of bytes) this.#take(byte);
  }

  #take(byte: number): void {
    switch (this.#state) {
      case "between":
        this.#between(byte);
        return;
      case "data":
        if (byte === HASH) this.#state = "first digit";
        else if (byte === DOLLAR) this.#begin();
        else this.#add(byte);
        return;
      case "first digit":
        this.#claimed = digit(byte) * 16;
        this.#state = "second digit";
        return;
      default:
        this.#state = "between";
        this.#end(this.#claimed + digit(byte));
    }
  }

  #between(byte: number): void {
    if (byte === DOLLAR) this.#begin();
    else if (byte === MINUS) this.#events.again();
    else if (byte === INTERRUPT) this.#events.interrupt();
  }

  #begin(): void {
    this.#state = "data";
    this.#length = 0;
    this.#sum = 0;
    this.#tooLong = false;
  }

  #add(byte: number): void {
    if (this.#length === packetBytes) {
      this.#tooLong = true;
      return;
    }
    this.#data[this.#length++] = byte;
    this.#sum = (this.#sum + byte) % 256;
  }

  #end(sum: number): void {
    if (this.#tooLong || sum !== this.#sum) {
      this.#events.broken();
      return;
    }
    // What packets before left behind its end is no part of it.
    const data = this.#data.subarray(0, this.#length);
    const out = new Uint8Array(data.length);
    let length = 0;
    for (let i = 0; i < data.length; i++) {
      const byte = data[i] ?? 0;
      out[length++] = byte === ESCAPE ? (data[++i] ?? 0) ^ 0x20 : byte;
    }
    this.#events.packet(latin1(out.subarray(0, length)));
  }
}

/** NaN, which makes every sum wrong, for what is no digit. */
function digit(byte: number): number {
  return Number.parseInt(String.fromCharCode(byte), 16);
}

/** A packet with this data (a character a byte), escaped where it must be. */
export function encodePacket(data: string): Uint8Array {
  const bytes: number[] = [DOLLAR];
  let sum = 0;
  const put = (byte: number) => {
    bytes.push(byte);
    sum = (sum + byte) % 256;
  };
  for (let i = 0; i < data.length; i++) {
    const byte = data.charCodeAt(i);
    if (byte === DOLLAR || byte === HASH || byte === ESCAPE || byte === STAR) {
      put(ESCAPE);
      put(byte ^ 0x20);
    } else put(byte);
  }
  bytes.push(HASH, ...[...sum.toString(16).padStart(2, "0")].map((character) => character.charCodeAt(0)));
  return Uint8Array.from(bytes);
}

/** Text as gdb's packets carry it: two digits a byte. */
export function hexText(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
