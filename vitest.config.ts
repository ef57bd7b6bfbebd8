import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    environment: "node",
    pool: "forks",
    // Whole-process tests start real servers and clients on a shared machine: generous, and never a measure of speed.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A poll ends when it holds; how long it may take says nothing but how busy the machine is.
    expect: { poll: { timeout: 30_000 } },
    maxWorkers: 2,
  },
});
