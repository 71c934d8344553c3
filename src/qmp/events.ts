export interface QmpEvent {
  /** Counts from 1 on this connection. */
  readonly sequence: number;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** QEMU's clock, microseconds since 1970; null when it gave none. */
  readonly time: number | null;
}

/** The newest events of a connection, so that a wait may look back to before it began. */
export class EventLog {
  sequence = 0;
  #events: QmpEvent[] = [];
  readonly #keep: number;

  constructor(keep = 4096) {
    this.#keep = keep;
  }

  add(
    event: string,
    data: Readonly<Record<string, unknown>>,
    timestamp: { readonly seconds: number; readonly microseconds: number } | null,
  ): QmpEvent {
    // QEMU writes -1 for both when its clock failed.
    const time = timestamp === null || timestamp.seconds < 0 ? null : timestamp.seconds * 1e6 + timestamp.microseconds;
    const entry = { sequence: ++this.sequence, event, data, time };
    this.#events.push(entry);
    if (this.#events.length > 2 * this.#keep) this.#events = this.#events.slice(-this.#keep);
    return entry;
  }

  since(sequence: number): readonly QmpEvent[] {
    return this.#events.filter((event) => event.sequence > sequence);
  }
}
