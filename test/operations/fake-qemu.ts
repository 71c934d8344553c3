/** A QMP server that behaves as a QEMU does, as far as a save or a load asks; what it says and when is the test's. */
import type { Socket } from "node:net";
import { onTestFinished } from "vitest";
import { QmpClient } from "../../src/qmp/client.ts";
import { type FakeServer, fakeServer, type Request, send } from "../qmp/fake-server.ts";

type Answer = (request: Request, socket: Socket) => unknown;

export interface FakeQemu {
  readonly server: FakeServer;
  readonly path: string;
  /** What the commands change, and the answers show. */
  readonly state: {
    runState: string;
    migration: string;
    errorDesc: string | null;
    readonly capabilities: Record<string, boolean>;
    readonly parameters: Record<string, unknown>;
  };
  /** Answers of the test's own; a string that is thrown is an error of QEMU's, `silent` is no answer at all. */
  readonly on: Record<string, Answer>;
  /** Names of the commands so far. */
  readonly commands: () => readonly string[];
  emit(event: string, data?: Record<string, unknown>, milliseconds?: number): void;
  client(): Promise<QmpClient>;
}

export const silent = Symbol("no answer");

/** Starts one; it ends with the test. */
export async function fakeQemu(on: Record<string, Answer> = {}): Promise<FakeQemu> {
  const state = {
    runState: "running",
    migration: "none",
    errorDesc: null as string | null,
    capabilities: { events: false, "return-path": false, "mapped-ram": false } as Record<string, boolean>,
    parameters: { "max-bandwidth": 134217728, "downtime-limit": 300 } as Record<string, unknown>,
  };
  const server = await fakeServer({
    onRequest: (request, socket) => {
      try {
        const answer = (on[request.execute] ?? usual[request.execute] ?? (() => ({})))(request, socket);
        if (answer !== silent) send(socket, { return: answer ?? {}, id: request.id });
      } catch (error) {
        send(socket, { error: { class: "GenericError", desc: String(error) }, id: request.id });
      }
    },
  });
  const usual: Record<string, Answer> = {
    "query-yank": () => [],
    "query-status": () => ({ status: state.runState, running: state.runState === "running" }),
    "query-migrate": () => ({
      ...(state.migration === "none" ? {} : { status: state.migration }),
      ...(state.errorDesc === null ? {} : { "error-desc": state.errorDesc }),
    }),
    "query-migrate-capabilities": () =>
      Object.entries(state.capabilities).map(([capability, on]) => ({ capability, state: on })),
    "query-migrate-parameters": () => state.parameters,
    "migrate-set-capabilities": ({ arguments: args }) => {
      const list = (args?.["capabilities"] ?? []) as { capability: string; state: boolean }[];
      for (const { capability, state: wanted } of list) state.capabilities[capability] = wanted;
    },
    "migrate-set-parameters": ({ arguments: args }) => void Object.assign(state.parameters, args),
    migrate_cancel: () => {
      state.migration = "cancelled";
    },
    cont: () => {
      state.runState = "running";
    },
  };
  const clients: QmpClient[] = [];
  onTestFinished(async () => {
    for (const client of clients) client.close();
    await server.close();
  });
  return {
    server,
    path: server.path,
    state,
    on,
    commands: () => server.requests.map(({ execute }) => execute),
    emit: (event, data = {}, milliseconds = 5000) => {
      const timestamp = { seconds: Math.floor(milliseconds / 1000), microseconds: (milliseconds % 1000) * 1000 };
      for (const socket of server.sockets) if (!socket.destroyed) send(socket, { event, data, timestamp });
    },
    client: async () => {
      const client = await QmpClient.connect(server.path);
      clients.push(client);
      return client;
    },
  };
}

/** Resolves when the client has seen the events sent so far. */
export async function seen(client: QmpClient): Promise<void> {
  await client.execute("query-status");
}

/** What a promise became by now: `pending`, or its error's code, or `done`. */
export async function outcome(promise: Promise<unknown>): Promise<string> {
  const pending = new Promise((resolve) => setImmediate(() => resolve("pending")));
  return String(
    await Promise.race([
      promise.then(
        () => "done",
        (error) => error.code ?? String(error),
      ),
      pending,
    ]),
  );
}
