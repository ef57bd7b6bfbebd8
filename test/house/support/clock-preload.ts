import { readFileSync } from "node:fs";

/**
 * Loaded ahead of a process with `--import`: on SIGUSR2 its wall clock is set as the file of POSTERN_TEST_CLOCK says (`ms`, signed),
 * as somebody who sets the clock of a machine does. The monotonic clock goes on.
 */
const now = Date.now;
let shiftMs = 0;
Date.now = () => now() + shiftMs;
process.on("SIGUSR2", () => {
  shiftMs = Number(readFileSync(process.env["POSTERN_TEST_CLOCK"] ?? "", "utf8"));
});
