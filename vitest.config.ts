import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/qemu/**", "test/viewer/**", "test/hostile/**"],
          testTimeout: 20_000,
          // The quick loop: a process and its modules serve many files, on every processor.
          isolate: false,
          maxWorkers: "100%",
        },
      },
      {
        test: {
          name: "hostile",
          include: ["test/hostile/**/*.test.ts"],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: "viewer",
          include: ["test/viewer/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: "qemu",
          include: ["test/qemu/**/*.test.ts"],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
