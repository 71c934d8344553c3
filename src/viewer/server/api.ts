import type { ServerResponse } from "node:http";
import { safe } from "../../bytes/text.ts";
import { FixedramError } from "../../errors.ts";
import type { ViewError } from "../shared/protocol.ts";
import { checkSide } from "./check.ts";
import { EventStream } from "./events.ts";
import { deviceTree, listCpus, listDevices, translateAddress } from "./inside.ts";
import { integer, pagesQuery, tileQuery } from "./parameters.ts";
import { searchQuery, searchSide } from "./search.ts";
import type { Session } from "./session.ts";
import type { Side } from "./side.ts";

export interface Call {
  readonly query: URLSearchParams;
  readonly session: Session;
  readonly response: ServerResponse;
  /** Aborted when the page does not want the answer any more. */
  readonly signal: AbortSignal;
}

type Handler = (call: Call) => void | Promise<void>;

/** The API, path by path: docs/viewer.md. */
export const handlers: Readonly<Record<string, Handler>> = {
  "/api/snapshot": ({ session, response }) => sendJson(response, 200, session.describe()),
  "/api/tile": async (call) => sendBytes(call.response, await sideOf(call).tile(tileQuery(call.query))),
  "/api/pages": async (call) => {
    const side = sideOf(call);
    const { block, first, count } = pagesQuery(call.query);
    const { pages } = side.block(block);
    if (first + count > pages) {
      throw new FixedramError("usage.bad-number", "the block ends before", {
        found: `pages ${first} to ${first + count - 1}`,
        expected: `below ${pages}`,
      });
    }
    sendBytes(call.response, await side.pages(block, first, count, call.signal));
  },
  "/api/devices": (call) => sendJson(call.response, 200, listDevices(sideOf(call), otherThan(call))),
  "/api/device": (call) => {
    const index = integer(call.query, "index", 0, 2 ** 24);
    sendJson(call.response, 200, deviceTree(sideOf(call), otherThan(call), index));
  },
  "/api/cpus": (call) => sendJson(call.response, 200, listCpus(sideOf(call), otherThan(call))),
  "/api/translate": async (call) => {
    const { response, query } = call;
    const cpu = query.has("cpu") ? integer(query, "cpu", 0, 2 ** 16) : 0;
    sendJson(response, 200, await translateAddress(sideOf(call), query.get("address") ?? "", cpu));
  },
  "/api/events": ({ session, response }) => session.announcer.listen(response),
  "/api/search": (call) => {
    const query = searchQuery(call.query);
    return streamed(call, (stream) => searchSide(sideOf(call), query, stream, call.signal));
  },
  "/api/live": ({ session, response }) => {
    if (session.live !== null) session.live.listen(response);
    else sendJson(response, 404, { code: "viewer.not-found", message: "nothing is going on here", hint: null });
  },
  "/api/check": (call) =>
    streamed(call, (stream) => checkSide(sideOf(call), call.query.get("deep") === "1", stream, call.signal)),
};

/** The snapshot that is asked about: `side=1` is OTHER. */
export function sideOf({ query, session }: Call): Side {
  const index = query.has("side") ? integer(query, "side", 0, Math.max(0, session.sides.length - 1)) : 0;
  return session.sides[index] ?? session.side;
}

/** What it is compared with. */
function otherThan(call: Call): Side | undefined {
  const side = sideOf(call);
  return call.session.sides.find((each) => each !== side);
}

/** Work that tells of its progress. A failure is the event `failed`. */
async function streamed({ response, signal }: Call, work: (stream: EventStream) => Promise<void>): Promise<void> {
  const stream = new EventStream(response, () => undefined);
  try {
    await work(stream);
  } catch (error) {
    if (!signal.aborted) stream.send("failed", errorOf(error).body);
  }
  stream.end();
}

export function errorOf(error: unknown): { status: number; body: ViewError } {
  if (!(error instanceof FixedramError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { status: 500, body: { code: "viewer.failed", message: safe(message), hint: null } };
  }
  const { block, page, offset, said, expected } = error.details;
  const hint = error.details.hint ?? said ?? (expected === undefined ? undefined : `Expected: ${expected}.`);
  const places = [
    ...(block === undefined ? [] : [`block ${safe(block)}`]),
    ...(page === undefined ? [] : [`page ${page}`]),
    ...(offset === undefined ? [] : [`byte ${offset}`]),
  ];
  const message = `${safe(error.message)}${places.length === 0 ? "" : ` (${places.join(", ")})`}`;
  // What a snapshot cannot answer is no failure of the request: browsers would report it as one.
  const wrong = ["usage.bad-number", "usage.bad-choice", "usage.no-such-block"].includes(error.code);
  const status = wrong ? 400 : error.code.startsWith("system.") ? 500 : 200;
  return { status, body: { code: error.code, message, hint: hint === undefined ? null : safe(hint) } };
}

export function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json; charset=utf-8" });
  response.end(JSON.stringify(body));
}

function sendBytes(response: ServerResponse, bytes: Uint8Array): void {
  response.writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes.length });
  response.end(bytes);
}
