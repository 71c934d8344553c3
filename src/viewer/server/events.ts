import type { ServerResponse } from "node:http";

/** One stream of server-sent events. */
export class EventStream {
  readonly #response: ServerResponse;
  #open = true;

  constructor(response: ServerResponse, onClose: () => void) {
    this.#response = response;
    response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
    response.flushHeaders();
    response.on("close", () => {
      this.#open = false;
      onClose();
    });
  }

  get open(): boolean {
    return this.#open;
  }

  /** Bytes that the other side has not taken yet. */
  get waiting(): number {
    return this.#response.writableLength;
  }

  send(event: string, data: unknown): void {
    if (this.#open) this.#response.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  end(): void {
    if (this.#open) this.#response.end();
    this.#open = false;
  }
}

/** Everybody who listens. What is sent with `keep` is also told to whoever comes later, the last one of its kind. */
export class Announcer {
  readonly #streams = new Set<EventStream>();
  readonly #kept = new Map<string, unknown>();

  listen(response: ServerResponse): void {
    const stream = new EventStream(response, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    stream.send("hello", {});
    for (const [event, data] of this.#kept) stream.send(event, data);
  }

  tell(event: string, data: unknown, keep = true): void {
    if (keep) this.#kept.set(event, data);
    for (const stream of this.#streams) stream.send(event, data);
  }

  close(): void {
    for (const stream of this.#streams) stream.end();
  }
}
