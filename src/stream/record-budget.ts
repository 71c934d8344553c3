import { FixedramError } from "../errors.ts";
import type { StreamRecord } from "./records.ts";

/** Bounds what is kept of a stream's records, so that an endless row of small ones does not fill the memory. */
export class RecordBudget {
  readonly #maxRecords: number;
  readonly #maxBytes: number;
  #records = 0;
  #bytes = 0;

  /** @param maxBytes of what the records hold; default: 256 MiB */
  constructor(maxRecords = 2 ** 20, maxBytes = 2 ** 28) {
    this.#maxRecords = maxRecords;
    this.#maxBytes = maxBytes;
  }

  /** A record is to be kept. @param offset of it in the stream, where it is known @throws `stream.too-many-records` */
  take(record: StreamRecord, offset?: number): void {
    this.#records++;
    this.#bytes += bytesOf(record);
    if (this.#records <= this.#maxRecords && this.#bytes <= this.#maxBytes) return;
    throw new FixedramError("stream.too-many-records", "the stream holds more that is not pages than the limit", {
      ...(offset === undefined ? {} : { offset }),
      expected: `at most ${this.#maxRecords} records and ${this.#maxBytes} bytes`,
    });
  }
}

function bytesOf(record: StreamRecord): number {
  switch (record.kind) {
    case "command":
      return record.data.length + (record.packaged?.length ?? 0);
    case "dirty-bitmap":
    case "device":
      return record.payload.length;
    case "device-state-uncut":
    case "vmdesc":
      return record.bytes.length;
    default:
      return 0;
  }
}
