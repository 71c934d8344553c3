import type { TaskTable } from "./protocol.ts";

/**
 * Every task that workers do. A task is a module in tasks/ with one function `run(input, context)`; input and output are
 * plain data: plans (extents), file descriptors, shared memory, never objects with methods.
 */
export const tasks = {
  compare: () => import("./tasks/compare.ts"),
  "screen-pages": () => import("./tasks/screen-pages.ts"),
  "copy-pages": () => import("./tasks/copy-pages.ts"),
  "write-behind": () => import("./tasks/write-behind.ts"),
  "digest-pages": () => import("./tasks/digest-pages.ts"),
  classify: () => import("./tasks/classify.ts"),
  search: () => import("./tasks/search.ts"),
  "send-channel": () => import("./tasks/send-channel.ts"),
  "take-channel": () => import("./tasks/take-channel.ts"),
} satisfies TaskTable;

export type Tasks = typeof tasks;
