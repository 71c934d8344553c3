/** The queue between who has something to write and who writes it: what is waited for, and when that is given up. */
import { describe, expect, test } from "vitest";
import { QueueReader, WriteQueue } from "../../src/workers/write-queue.ts";

function put(queue: WriteQueue, count: number): void {
  for (let i = 0; i < count; i++) queue.put(0, 1, 1, 1, i);
}

describe("the end that has something to write", () => {
  test("knows what has been written, and does not wait longer than it is told", () => {
    const queue = new WriteQueue();
    const reader = new QueueReader(queue.memory);
    put(queue, 3);
    expect(queue.reached(0, 1)).toBe(true);
    expect(queue.reached(1, 1)).toBe(false);
    reader.next();
    reader.done();
    expect([queue.reached(1, 1), queue.reached(2, 1)]).toEqual([true, false]);
    for (let i = 0; i < 2; i++) {
      reader.next();
      reader.done();
    }
    queue.waitFor(queue.mark);
    queue.end();
    expect(reader.next()).toBeNull();
  });

  test("gives up who writes nothing for long, however it waits", () => {
    for (const wait of [(queue: WriteQueue) => queue.waitFor(1), (queue: WriteQueue) => void queue.reached(1, 5)]) {
      const queue = new WriteQueue(40);
      put(queue, 2);
      expect(() => {
        for (;;) wait(queue);
      }).toThrow(expect.objectContaining({ code: "system.worker-died" }));
    }
  });

  test("hears of a failure that nobody woke it for", () => {
    const queue = new WriteQueue();
    const reader = new QueueReader(queue.memory);
    put(queue, 1);
    reader.fail({ code: "system.io", message: "made by the test" });
    expect(() => queue.waitFor(1)).toThrow("made by the test");
  });
});
