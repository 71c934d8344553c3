import type { Sink } from "./sink.ts";

/** Input that passes once: a pipe, a migration socket. It never pretends to be random access. */
export interface PageStream {
  /** Gives every page to `sink`, round by round, without finishing it. Ends at the end of the stream. */
  pump(sink: Sink, signal?: AbortSignal): Promise<void>;
}
