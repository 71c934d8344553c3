/** QMP: lines and numbers, against JSON.parse; and whole connections with a peer that says anything. */
import { Duplex } from "node:stream";
import type { Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import { bytesOfText, Choices, codeOf } from "./shared.ts";

const greeting = '{"QMP":{"version":{"qemu":{"major":7,"minor":2,"micro":0},"package":""},"capabilities":["oob"]}}\n';

const lines: readonly string[] = [
  `${greeting}{"return":{},"id":1}\n{"event":"STOP","data":{},"timestamp":{"seconds":1,"microseconds":2}}\n`,
  `${greeting}{"error":{"class":"GenericError","desc":"no"},"id":1}\r\n`,
  '{"return":{"max-bandwidth":18446744073709551615,"a":[-9223372036854775808,1.5e300,"\\"1234567890123456789"]},"id":1}\n',
];

const limit = 512;

export function qmpTarget(lib: FuzzLib): Target {
  return {
    name: "qmp",
    meant: /^qmp\/(json|lines)/,
    seeds: lines.map((line) => new TextEncoder().encode(line)),
    words: [
      '{"return":{}}\n',
      '"id":',
      "18446744073709551615",
      "-9223372036854775808",
      "\\u0000",
      '\\"',
      "1e999",
      "-0.0",
      "\n",
    ].map(bytesOfText),
    most: 700,
    run: (input, random) => {
      const whole = split(lib, input, () => input.length);
      const pieces = split(lib, input, () => 1 + random.below(64));
      if (typeof whole === "string" || typeof pieces === "string") {
        if (whole !== pieces) throw new Error(`lines depend on how they come: ${whole}, ${pieces}`);
        return;
      }
      if (whole.length !== pieces.length || whole.some((line, i) => line !== pieces[i]))
        throw new Error("lines depend on how they come");
      for (const line of whole) sameJson(lib, line);
    },
  };
}

function split(lib: FuzzLib, input: Uint8Array, cut: () => number): string[] | string {
  const found: string[] = [];
  const splitter = new lib.LineSplitter(limit);
  try {
    for (let at = 0; at < input.length; ) {
      const size = cut();
      found.push(...splitter.push(input.slice(at, at + size)));
      at += size;
    }
    return found;
  } catch (error) {
    return codeOf(error);
  }
}

/** JSON.parse is the model: the same but for integers that it does not hold. */
function sameJson(lib: FuzzLib, line: string): void {
  const tried = (parse: (text: string) => unknown): { readonly value: unknown } | null => {
    try {
      return { value: parse(line) };
    } catch (error) {
      if (error instanceof SyntaxError) return null;
      throw error;
    }
  };
  const [found, model] = [tried(lib.parseQmpJson), tried(JSON.parse)];
  if ((found === null) !== (model === null)) throw new Error("JSON is not JSON");
  if (found === null || model === null) return;
  const plain = (value: unknown): string =>
    JSON.stringify(value, (_key, each) => (typeof each === "bigint" ? Number(each) : each)) ?? "";
  if (plain(found.value) !== JSON.stringify(model.value)) throw new Error(`parsed: ${plain(found.value)}`);
  const again = lib.parseQmpJson(lib.formatQmpJson(found.value));
  // 1e20 is written as an integer, with the digits that tell it from other doubles, and an integer of that size is a bigint.
  const exact = (value: unknown): string =>
    JSON.stringify(value, (_key, each) => (isLarge(each) ? `integer ${each}` : each)) ?? "";
  if (exact(again) !== exact(found.value)) throw new Error(`written again: ${exact(again)}`);
}

const isLarge = (value: unknown): value is number | bigint =>
  typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value));

/** A peer whose input chooses what it says, and when it leaves. */
class Peer {
  readonly #choices: Choices;
  readonly stream: Duplex;
  /** Ids of the commands that came and have no answer. */
  readonly #open: unknown[] = [];
  #gone = false;

  constructor(input: Uint8Array) {
    this.#choices = new Choices(input);
    this.stream = new Duplex({
      read: () => {},
      write: (chunk: Uint8Array, _encoding, done) => {
        for (const line of new TextDecoder().decode(chunk).trim().split("\n")) {
          const { id } = JSON.parse(line) as { id?: unknown };
          this.#open.push(id);
        }
        this.speak();
        done();
      },
    });
    this.stream.on("error", () => {});
  }

  /** Says something; leaves when the input has nothing more to choose. */
  speak(): void {
    if (this.#gone) return;
    const times = 1 + this.#choices.below(3);
    for (let i = 0; i < times && !this.#gone; i++) this.#once();
    if (!this.#choices.left) this.#leave();
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.stream.push(null);
  }

  #once(): void {
    const choices = this.#choices;
    const id = () => JSON.stringify(this.#open.shift() ?? 99);
    const says: readonly (() => string)[] = [
      () => `{"return":{},"id":${id()}}\n`,
      () => `{"return":{},"id":${id()}}\n`,
      () => `{"return":[1,{"a":18446744073709551615}],"id":${id()}}\n`,
      () => `{"error":{"class":"CommandNotFound","desc":"no"},"id":${id()}}\n`,
      () => '{"event":"STOP","data":{"x":1},"timestamp":{"seconds":1,"microseconds":2}}\n',
      () => '{"event":"MIGRATION","data":{"status":"active"},"timestamp":{"seconds":1,"microseconds":2}}\n',
      () => '{"event":"STOP"}\n',
      () => '{"return":{},"id":7777}\n',
      () => '{"error":{"class":"GenericError","desc":"whom"}}\n',
      () => '{"return":{}}\n',
      () => greeting,
      () => "\r\n",
      () => "not json\n",
      () => '{"a":1}\n',
      () => "[1]\n",
      () => String.fromCharCode(...Array.from({ length: choices.below(40) }, () => choices.below(128))),
    ];
    const kind = choices.below(says.length + 2);
    if (kind >= says.length) {
      if (kind > says.length) this.stream.destroy(new Error("reset"));
      this.#leave();
      return;
    }
    this.stream.push(new TextEncoder().encode(says[kind]?.() ?? ""));
  }
}

/** The client at such a peer: every command and every wait ends, one way or the other, and nothing is left waiting. */
export function clientTarget(lib: FuzzLib): Target {
  return {
    name: "qmp-client",
    meant: /^qmp\/(client|events|errors)/,
    seeds: [
      Uint8Array.of(10, 1, 0, 1, 0, 1, 0, 1, 0),
      Uint8Array.of(1, 10, 0, 0, 0, 3, 0, 4, 0, 5, 0, 2),
      Uint8Array.of(0, 10, 0, 4, 0, 0, 6, 7, 8, 9),
    ],
    words: [Uint8Array.of(0, 10, 0, 0), Uint8Array.of(0, 4)],
    most: 64,
    run: (input) => converse(lib, input),
  };
}

async function converse(lib: FuzzLib, input: Uint8Array): Promise<void> {
  const plan = new Choices(input);
  const how = plan.byte();
  const peer = new Peer(plan.rest());
  const ended = { yet: false };
  const all = useAll(lib, peer.stream, how).finally(() => {
    ended.yet = true;
  });
  // The peer leaves when it has said all, and everything that waits ends.
  for (let turn = 0; !ended.yet; turn++) {
    if (turn > 500) throw new Error("something waits although the peer has left");
    peer.speak();
    await new Promise(setImmediate);
  }
  await all;
}

/** Commands and waits on one connection; those that the peer answers badly end in an error of ours. */
async function useAll(lib: FuzzLib, stream: Duplex, how: number): Promise<void> {
  try {
    const client = await lib.QmpClient.attach(stream, "peer", { greetingTimeout: 10_000, outOfBand: how % 2 === 1 });
    const waits: Promise<unknown>[] = [client.execute("query-status"), client.execute("stop", { a: 1n })];
    if (how % 4 > 1) waits.push(client.executeOutOfBand("migrate-pause"));
    if (how % 8 > 3) waits.push(client.waitForEvent(({ event }) => event === "STOP", { since: 0 }));
    if (how % 16 > 7) client.close();
    for (const each of await Promise.allSettled(waits)) if (each.status === "rejected") codeOf(each.reason);
    client.eventsSince(0);
    client.close();
  } catch (error) {
    codeOf(error);
  }
}
