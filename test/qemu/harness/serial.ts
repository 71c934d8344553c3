/** A guest's serial line, as lines: what it said, and waiting for what it will say. */
import { createConnection, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export interface Heard {
  readonly line: string;
  readonly match: RegExpExecArray;
  /** Place in `lines`. */
  readonly index: number;
}

export class Serial {
  /** Every complete line so far, without its line end. */
  readonly lines: string[] = [];
  readonly #socket: Socket;
  readonly #listeners = new Set<() => void>();
  #rest = "";
  #closed = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (text: string) => this.#take(text));
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** Connects to a serial line QEMU serves on a unix socket, waiting for the socket to appear. `timeout` in ms; `gone` ends the waiting early. */
  static async connect(
    path: string,
    timeout = 10_000,
    gone: () => string | undefined = () => undefined,
  ): Promise<Serial> {
    const end = Date.now() + timeout;
    for (;;) {
      const socket = await attempt(path);
      if (socket !== undefined) return new Serial(socket);
      const reason = gone();
      if (reason !== undefined) throw new Error(reason);
      if (Date.now() > end) throw new Error(`no serial line at ${path} after ${timeout} ms`);
      await sleep(3);
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  send(text: string): void {
    this.#socket.write(text, "latin1");
  }

  /** The first line from place `from` on that matches; rejects after `timeout` ms or when the line closes. */
  async waitFor(pattern: RegExp, timeout = 10_000, from = 0): Promise<Heard> {
    let next = from;
    const search = (): Heard | undefined => {
      for (; next < this.lines.length; next++) {
        const line = this.lines[next] ?? "";
        const match = pattern.exec(line);
        if (match !== null) return { line, match, index: next };
      }
      return undefined;
    };
    return await new Promise<Heard>((resolve, reject) => {
      const settle = (finish: () => void): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        finish();
      };
      const look = (): void => {
        const heard = search();
        if (heard !== undefined) settle(() => resolve(heard));
        else if (this.#closed)
          settle(() => reject(new Error(`serial line closed, waiting for ${pattern}${this.#tail()}`)));
      };
      const timer = setTimeout(() => {
        settle(() => reject(new Error(`nothing like ${pattern} on serial within ${timeout} ms${this.#tail()}`)));
      }, timeout);
      this.#listeners.add(look);
      look();
    });
  }

  /** Sends `text` and waits for a matching line that comes after it. */
  async ask(text: string, pattern: RegExp, timeout = 10_000): Promise<Heard> {
    const from = this.lines.length;
    this.send(text);
    return await this.waitFor(pattern, timeout, from);
  }

  close(): void {
    this.#socket.destroy();
  }

  #tail(): string {
    return this.lines.length === 0 ? " (it said nothing)" : `; it said last:\n  ${this.lines.slice(-8).join("\n  ")}`;
  }

  #take(text: string): void {
    const parts = (this.#rest + text).split("\n");
    this.#rest = parts.pop() ?? "";
    for (const part of parts) this.lines.push(part.replace(/\r$/, ""));
    if (parts.length > 0) this.#wake();
  }

  #wake(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

async function attempt(path: string): Promise<Socket | undefined> {
  return await new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
    socket.once("error", () => resolve(undefined));
  });
}
