/** Talks to the server that sent this page; addresses are relative, so that the token in the page's own is kept. */
import {
  problemHeader,
  type TileQuery,
  type ViewCheck,
  type ViewError,
  type ViewSnapshot,
} from "../shared/protocol.ts";

export class ApiError extends Error {
  readonly code: string;
  readonly hint: string | null;

  constructor({ code, message, hint }: ViewError) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

async function get(path: string, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, signal === undefined ? {} : { signal });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError({
      code: "viewer.gone",
      message: "The viewer has ended.",
      hint: "Start it again where it ran: fixedram view FILE.",
    });
  }
  if (response.ok && !response.headers.has(problemHeader)) return response;
  const text = await response.text();
  throw new ApiError(
    response.headers.get("content-type")?.startsWith("application/json") === true
      ? (JSON.parse(text) as ViewError)
      : { code: `http.${response.status}`, message: text.trim(), hint: null },
  );
}

export async function getJson<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await (await get(path, signal)).json()) as T;
}

export async function getBytes(path: string, signal?: AbortSignal): Promise<Uint8Array> {
  return new Uint8Array(await (await get(path, signal)).arrayBuffer());
}

export const getSnapshot = (): Promise<ViewSnapshot> => getJson("api/snapshot");

export function getTile(
  side: number,
  { block, order, level, x, y, layers }: TileQuery,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  return getBytes(
    `api/tile?side=${side}&block=${block}&order=${order}&level=${level}&x=${x}&y=${y}&layers=${layers.join(",")}`,
    signal,
  );
}

/** Kinds of the pages, and their bytes. */
export interface Pages {
  readonly kinds: Uint8Array;
  readonly bytes: Uint8Array;
}

export async function getPages(side: number, block: number, first: number, count: number): Promise<Pages> {
  const all = await getBytes(`api/pages?side=${side}&block=${block}&first=${first}&count=${count}`);
  return { kinds: all.subarray(0, count), bytes: all.subarray(count) };
}

/** Follows an answer that comes in pieces. Returns what stops it. */
export function follow(
  path: string,
  on: Readonly<Record<string, (data: never) => void>>,
  end?: () => void,
): () => void {
  const source = new EventSource(path);
  for (const [event, take] of Object.entries(on)) {
    source.addEventListener(event, (message) => take(JSON.parse((message as MessageEvent<string>).data) as never));
  }
  // The server closes it when all is said; EventSource would ask again.
  source.addEventListener("error", () => {
    source.close();
    end?.();
  });
  return () => source.close();
}

export function check(
  side: number,
  deep: boolean,
  on: {
    progress: (progress: { bytes: number; total: number }) => void;
    result: (result: ViewCheck) => void;
    failed: (error: ViewError) => void;
  },
): () => void {
  return follow(`api/check?side=${side}&deep=${deep ? 1 : 0}`, on);
}
