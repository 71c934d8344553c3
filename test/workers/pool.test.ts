import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WorkerPool } from "../../src/workers/pool.ts";
import type { tasks } from "./entry.ts";

let pool: WorkerPool<typeof tasks>;
beforeEach(() => {
  pool = new WorkerPool({ size: 2, entry: fileURLToPath(new URL("entry.ts", import.meta.url)) });
});
afterEach(() => pool.close());

describe("a pool of workers", () => {
  test("does jobs in parallel and in turn; messages come before the output", async () => {
    expect(await Promise.all([1, 2, 3, 4, 5].map((value) => pool.run("double", { value })))).toEqual([2, 4, 6, 8, 10]);
    const messages: unknown[] = [];
    expect(await pool.run("messages", { count: 3 }, { onMessage: (message) => messages.push(message) })).toBe(3);
    expect(messages).toEqual([0, 1, 2]);
  });

  test("warmed up, its workers have loaded a task before it is asked for", async () => {
    pool.warmUp("double");
    pool.warmUp("double");
    expect(await pool.run("double", { value: 2 })).toBe(4);
    expect(await Promise.all([1, 2, 3].map((value) => pool.run("double", { value })))).toEqual([2, 4, 6]);
  });

  test("errors come over whole; the worker goes on", async () => {
    await expect(pool.run("fail", { known: true })).rejects.toMatchObject({
      code: "file.truncated",
      details: { offset: 7 },
    });
    await expect(pool.run("fail", { known: false })).rejects.toThrow("a bug");
    expect(await pool.run("double", { value: 4 })).toBe(8);
  });

  test("a job under way, and one that waits, end with the signal's reason", async () => {
    const stop = new AbortController();
    const reason = new Error("enough");
    const jobs = [0, 1, 2].map(() =>
      pool.run(
        "spin",
        {},
        {
          signal: stop.signal,
          onMessage: () => stop.abort(reason),
        },
      ),
    );
    const ends = await Promise.allSettled(jobs);
    expect(ends.map((end) => (end.status === "rejected" ? end.reason : null))).toEqual([reason, reason, reason]);
    await expect(pool.run("double", { value: 1 }, { signal: stop.signal })).rejects.toBe(reason);
    expect(await pool.run("double", { value: 4 })).toBe(8);
  });

  test("a worker that dies costs its job only: system.worker-died", async () => {
    const died = pool.run("die", {});
    const others = [1, 2, 3].map((value) => pool.run("double", { value }));
    await expect(died).rejects.toMatchObject({ code: "system.worker-died", details: { said: "it ended with code 3" } });
    expect(await Promise.all(others)).toEqual([2, 4, 6]);
  });

  test("closing gives up what is under way", async () => {
    const jobs = [0, 1, 2].map(() => pool.run("spin", {}));
    const ends = Promise.allSettled(jobs);
    await pool.close();
    expect((await ends).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    await expect(pool.run("double", { value: 1 })).rejects.toThrow("closed");
  });
});
