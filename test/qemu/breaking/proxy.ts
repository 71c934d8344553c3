/** A unix socket that passes everything on to another one, until it is cut. */
import { connect, createServer, type Server, type Socket } from "node:net";
import { atTestEnd } from "../harness/index.ts";

export class QmpProxy {
  readonly path: string;
  /** Milliseconds by which every answer is late. */
  delay = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string, to: string) {
    this.path = path;
    this.#server = createServer((near) => this.#join(near, connect(to)));
  }

  static async listen(path: string, to: string): Promise<QmpProxy> {
    const proxy = new QmpProxy(path, to);
    await new Promise<void>((resolve) => proxy.#server.listen(path, resolve));
    atTestEnd(() => proxy.close());
    return proxy;
  }

  /** Breaks the connections there are; new ones are welcome. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** For good. */
  close(): void {
    this.#server.close();
    this.cut();
  }

  #join(near: Socket, far: Socket): void {
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(one);
      one.on("error", () => {});
      one.on("close", () => {
        this.#sockets.delete(one);
        other.destroy();
      });
      one.on("data", (bytes) => {
        if (one === near || this.delay === 0) other.write(bytes);
        else setTimeout(() => other.write(bytes), this.delay);
      });
    }
  }
}
