/**
 * A QMP connection. QMP (docs/interop/qmp-spec in QEMU) is one JSON object a line: the server greets, the client sends
 * qmp_capabilities, then commands with ids; answers carry the id, events come at any time.
 *
 *   connect -> greeting -> qmp_capabilities -> ready -> closed
 *
 * A QMP server serves one client at a time; the kernel lets a second one connect and queues it, so no greeting means busy.
 */
import { EventEmitter, setMaxListeners } from "node:events";
import type { Duplex } from "node:stream";
import * as v from "valibot";
import { FixedramError } from "../errors.ts";
import { formatQmpAddress, parseQmpAddress, type QmpAddress } from "./address.ts";
import { abortError, busyError, commandError } from "./errors.ts";
import { EventLog, type QmpEvent } from "./events.ts";
import { formatQmpJson, parseQmpJson } from "./json.ts";
import { LineSplitter } from "./lines.ts";
import { askHolder, openSocket } from "./socket.ts";

export type { QmpEvent } from "./events.ts";

export interface ConnectOptions {
  readonly signal?: AbortSignal;
  /** Ask for commands out of band ({@link QmpClient.executeOutOfBand}), where QEMU offers them. */
  readonly outOfBand?: boolean;
  /** Milliseconds to wait for the greeting; default 5000. */
  readonly greetingTimeout?: number;
  /** Asked when no greeting comes: who holds the socket, in words, or null. */
  readonly whoHolds?: (address: QmpAddress) => string | null | Promise<string | null>;
}

export interface ExecuteOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds; default: none. */
  readonly timeout?: number;
}

export interface WaitOptions extends ExecuteOptions {
  /** Events after this sequence number count; default: those from now on. */
  readonly since?: number;
}

interface Pending {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: FixedramError) => void;
}

const Greeting = v.looseObject({
  QMP: v.looseObject({
    version: v.looseObject({
      qemu: v.looseObject({ major: v.number(), minor: v.number(), micro: v.number() }),
      package: v.optional(v.string(), ""),
    }),
    capabilities: v.optional(v.array(v.string()), []),
  }),
});
export type QmpGreeting = v.InferOutput<typeof Greeting>["QMP"];

const Message = v.looseObject({
  id: v.optional(v.unknown()),
  return: v.optional(v.unknown()),
  error: v.optional(v.looseObject({ class: v.string(), desc: v.string() })),
  event: v.optional(v.string()),
  data: v.optional(v.record(v.string(), v.unknown()), {}),
  timestamp: v.optional(v.looseObject({ seconds: v.number(), microseconds: v.number() })),
});

/** Emits `event` for every QMP event and `close` once, with what ended the connection (null: `close()` was called). */
export class QmpClient extends EventEmitter<{ event: [QmpEvent]; close: [FixedramError | null] }> {
  /** What the messages call the other side. */
  readonly name: string;
  readonly #stream: Duplex;
  readonly #lines = new LineSplitter();
  readonly #pending = new Map<number, Pending>();
  readonly #log = new EventLog();
  #greeting: QmpGreeting | null = null;
  #nextId = 1;
  #outOfBand = false;
  #ended: FixedramError | null = null;
  #closing = false;
  #greet: { resolve: () => void; reject: (error: FixedramError) => void } | null = null;

  private constructor(stream: Duplex, name: string) {
    super();
    this.setMaxListeners(0);
    this.name = name;
    this.#stream = stream;
    stream.on("data", (chunk: Uint8Array) => this.#data(chunk));
    stream.on("error", (error) => this.#end(closedError(name, error)));
    stream.on("end", () => this.#end(closedError(name)));
    stream.on("close", () => this.#end(closedError(name)));
  }

  /**
   * Connects, waits for the greeting and leaves negotiation mode.
   *
   * @param address `PATH`, `unix:PATH`, `tcp:HOST:PORT` or a parsed address
   *
   * Errors: those of parseQmpAddress; `qmp.no-socket`, `qmp.nobody-listening`, `qmp.permission`, `qmp.connect-failed`,
   * `qmp.busy` (no greeting in time), `qmp.not-qmp`, `qmp.closed`, `interrupted.aborted`.
   */
  static async connect(address: string | QmpAddress, options: ConnectOptions = {}): Promise<QmpClient> {
    const where = typeof address === "string" ? parseQmpAddress(address) : address;
    const name = formatQmpAddress(where);
    const deadline = performance.now() + (options.greetingTimeout ?? 5000);
    const socket = await openSocket(where, name, options, deadline);
    return QmpClient.attach(socket, name, {
      ...options,
      greetingTimeout: Math.max(deadline - performance.now(), 1),
      holder: () => askHolder(where, options),
    });
  }

  /** Speaks QMP over a stream that is already open (a child's stdio). Owns the stream from now on, also when it fails. */
  static async attach(
    stream: Duplex,
    name: string,
    options: ConnectOptions & { readonly holder?: () => Promise<string | null> } = {},
  ): Promise<QmpClient> {
    const client = new QmpClient(stream, name);
    try {
      await client.#awaitGreeting(options);
      client.#outOfBand = options.outOfBand === true && client.greeting.capabilities.includes("oob");
      await client.execute("qmp_capabilities", client.#outOfBand ? { enable: ["oob"] } : undefined, {
        timeout: options.greetingTimeout ?? 5000,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
      return client;
    } catch (error) {
      client.close();
      if (error instanceof FixedramError && error.code === "qmp.busy") {
        throw busyError(name, (await options.holder?.()) ?? null);
      }
      throw error;
    }
  }

  /** The server's greeting: QEMU's version, and `oob` among its capabilities. */
  get greeting(): QmpGreeting {
    if (this.#greeting === null) throw new FixedramError("qmp.closed", `${this.name} has not greeted`);
    return this.#greeting;
  }

  get closed(): boolean {
    return this.#ended !== null || this.#closing;
  }

  /** Sequence number of the newest event, 0 before the first: pass it to {@link waitForEvent} as `since`. */
  get sequence(): number {
    return this.#log.sequence;
  }

  /** Events after `since` that are still kept (the newest 4096). */
  eventsSince(since: number): readonly QmpEvent[] {
    return this.#log.since(since);
  }

  /**
   * Runs one command and returns its answer, unchecked (commands.ts has the checked ones).
   *
   * Errors: `qmp.command` with QEMU's words in `said` and its class in `found`; `qmp.closed`, `qmp.timeout`,
   * `interrupted.aborted`. After the last two QEMU may still carry the command out.
   */
  execute(command: string, args?: Readonly<Record<string, unknown>>, options: ExecuteOptions = {}): Promise<unknown> {
    return this.#run("execute", command, args, options);
  }

  /**
   * Runs a command that QEMU takes out of band, past its main thread: that thread may be waiting for a page. As {@link execute} where
   * QEMU does not offer it, or it was not asked for when connecting.
   */
  executeOutOfBand(
    command: string,
    args?: Readonly<Record<string, unknown>>,
    options: ExecuteOptions = {},
  ): Promise<unknown> {
    return this.#run(this.#outOfBand ? "exec-oob" : "execute", command, args, options);
  }

  #run(
    how: "execute" | "exec-oob",
    command: string,
    args: Readonly<Record<string, unknown>> | undefined,
    options: ExecuteOptions,
  ): Promise<unknown> {
    if (options.signal?.aborted === true) return Promise.reject(abortError(options.signal, command));
    if (this.closed) return Promise.reject(this.#ended ?? closedError(this.name));
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const done = guard(options, command, this.name, reject);
      this.#pending.set(id, {
        command,
        resolve: (value) => {
          done();
          resolve(value);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.#hold();
      this.#stream.write(
        `${formatQmpJson({ [how]: command, ...(args === undefined ? {} : { arguments: args }), id })}\n`,
      );
    });
  }

  /** Commands that are given at once go out at once: each write of its own costs a turn of QEMU's main loop, and of ours. */
  #hold(): void {
    if (this.#stream.writableCorked > 0) return;
    this.#stream.cork();
    queueMicrotask(() => this.#stream.uncork());
  }

  /**
   * Resolves with the first event that `predicate` takes: one that came after `since`, or the next to come.
   *
   * Errors: `qmp.closed`, `qmp.timeout`, `interrupted.aborted`.
   */
  waitForEvent(predicate: (event: QmpEvent) => boolean, options: WaitOptions = {}): Promise<QmpEvent> {
    if (options.signal?.aborted === true) return Promise.reject(abortError(options.signal, "waiting for an event"));
    const past = this.#log.since(options.since ?? this.#log.sequence).find(predicate);
    if (past !== undefined) return Promise.resolve(past);
    if (this.closed) return Promise.reject(this.#ended ?? closedError(this.name));
    return new Promise((resolve, reject) => {
      const stop = () => {
        done();
        this.off("event", onEvent);
        this.off("close", onClose);
      };
      const fail = (error: FixedramError) => {
        stop();
        reject(error);
      };
      const done = guard(options, "waiting for an event", this.name, fail);
      const onEvent = (event: QmpEvent) => {
        try {
          if (!predicate(event)) return;
        } catch (error) {
          stop();
          reject(error);
          return;
        }
        stop();
        resolve(event);
      };
      const onClose = (error: FixedramError | null) => fail(error ?? closedError(this.name));
      this.on("event", onEvent);
      this.on("close", onClose);
    });
  }

  /** Ends the connection; commands under way fail with `qmp.closed`. Calling it again does nothing. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#end(null);
  }

  #awaitGreeting(options: ConnectOptions): Promise<void> {
    const { signal, greetingTimeout: timeout = 5000 } = options;
    if (signal?.aborted === true) return Promise.reject(abortError(signal, "connecting"));
    if (this.#ended !== null) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      const onAbort = () => fail(abortError(signal, "connecting"));
      const timer = setTimeout(() => fail(busyError(this.name, null)), timeout);
      const stop = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        this.#greet = null;
      };
      const fail = (error: FixedramError) => {
        stop();
        reject(error);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      const ok = () => {
        stop();
        resolve();
      };
      this.#greet = { resolve: ok, reject: fail };
    });
  }

  #data(chunk: Uint8Array): void {
    if (this.closed) return;
    try {
      const lines = this.#lines.push(chunk);
      for (const line of lines) {
        if (this.closed) return;
        if (line.trim() !== "") this.#line(line);
      }
    } catch (error) {
      this.#end(error instanceof FixedramError ? error : new FixedramError("qmp.garbage", String(error)));
    }
  }

  #line(line: string): void {
    if (this.#greeting === null) {
      this.#takeGreeting(line);
      return;
    }
    let parsed: unknown;
    try {
      parsed = parseQmpJson(line);
    } catch {
      throw garbage("qmp.garbage", this.name, line);
    }
    const result = v.safeParse(Message, parsed);
    if (!result.success) throw garbage("qmp.garbage", this.name, line);
    const message = result.output;
    if (message.event !== undefined) {
      const event = this.#log.add(message.event, message.data, message.timestamp ?? null);
      // A listener's fault is its own: it must not cost the rest of this chunk.
      try {
        this.emit("event", event);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
      return;
    }
    this.#answer(message, line);
  }

  #answer(message: v.InferOutput<typeof Message>, line: string): void {
    const id = message.id;
    const pending = typeof id === "number" ? this.#pending.get(id) : undefined;
    // QEMU answers what it could not even parse without an id; we never send such.
    if (pending === undefined) throw garbage("qmp.garbage", this.name, line);
    this.#pending.delete(Number(id));
    if (message.error !== undefined) {
      pending.reject(commandError(pending.command, message.error.class, message.error.desc));
    } else if ("return" in message) pending.resolve(message.return);
    else pending.reject(garbage("qmp.garbage", this.name, line));
  }

  #takeGreeting(line: string): void {
    let greeting: unknown = null;
    try {
      greeting = parseQmpJson(line);
    } catch {
      // Said below.
    }
    const result = v.safeParse(Greeting, greeting);
    if (!result.success) throw garbage("qmp.not-qmp", this.name, line);
    this.#greeting = result.output.QMP;
    this.#greet?.resolve();
  }

  #end(error: FixedramError | null): void {
    if (this.#ended !== null) return;
    this.#ended = error ?? closedError(this.name);
    this.#stream.destroy();
    this.#greet?.reject(this.#ended);
    for (const { command, reject } of this.#pending.values()) {
      const { code, message, details } = this.#ended;
      reject(new FixedramError(code, `${message} (during ${command})`, details, { cause: this.#ended.cause }));
    }
    this.#pending.clear();
    this.emit("close", error);
  }
}

/** Arms the timeout and the signal of one wait; the returned function disarms both. */
function guard(options: ExecuteOptions, what: string, name: string, fail: (error: FixedramError) => void): () => void {
  const { signal, timeout } = options;
  const onAbort = () => fail(abortError(signal, what));
  // One listener for each command under way; Node would warn about more than ten.
  if (signal !== undefined) setMaxListeners(0, signal);
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer =
    timeout === undefined
      ? undefined
      : setTimeout(() => {
          fail(new FixedramError("qmp.timeout", `${name} did not answer in ${timeout} ms: ${what}`));
        }, timeout);
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  };
}

function closedError(name: string, cause?: Error): FixedramError {
  return new FixedramError(
    "qmp.closed",
    `${name} closed the connection`,
    { path: name, ...(cause === undefined ? {} : { said: cause.message }) },
    { cause },
  );
}

function garbage(code: "qmp.garbage" | "qmp.not-qmp", name: string, line: string): FixedramError {
  const found = line.length > 200 ? `${line.slice(0, 200)}...` : line;
  const human = /^QEMU .* monitor/.test(line);
  return new FixedramError(code, `${name} does not speak QMP`, {
    path: name,
    found,
    ...(human ? { hint: "This is the human monitor: use the socket of -qmp, or of -mon with mode=control." } : {}),
  });
}
