import { hash } from "node:crypto";
import net from "node:net";
import fsp from "node:fs/promises";
import path from "node:path";

/** Held for as long as the audit file is written. */
export interface WriterLock {
  release(): Promise<void>;
}

/** Longest path of a unix socket on Linux is 107 bytes, on macOS 103. */
const MAX_SOCKET_PATH = 103;

/**
 * One writer a file: two would interleave two chains. The lock is a listening unix socket beside the file: the kernel gives it
 * up when the process dies however it dies, it needs no process ids (which mean nothing across containers), and a stale one
 * is told from a live one by connecting.
 * @returns the lock, or `null` where the file system cannot hold a socket
 * @throws Error with a next step when another process holds it
 */
export async function lockForWriting(file: string): Promise<WriterLock | null> {
  const socketPath = shortest(path.join(path.dirname(file), `.${path.basename(file)}.lock`));
  if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH)
    throw new Error(`audit.file: the path is too long for its lock (${socketPath}): use a shorter directory`);
  const first = await listen(socketPath);
  if (first === "unsupported") return null;
  return first === "in_use" ? await takeOver(file, socketPath) : first;
}

/** Of two that find the same stale lock at once, the second would remove the first one's: one at a time. */
async function takeOver(file: string, socketPath: string): Promise<WriterLock | null> {
  const turn = process.platform === "linux" ? await listen(await turnName(file)) : "unsupported";
  if (turn === "in_use") throw lockedJustNow(file);
  try {
    if (await answers(socketPath))
      throw new Error(
        `audit.file: ${file} is being written by another process: stop it, or give each process a file of its own`,
      );
    await fsp.rm(socketPath, { force: true });
    const lock = await listen(socketPath);
    if (lock === "in_use") throw lockedJustNow(file);
    return lock === "unsupported" ? null : lock;
  } finally {
    if (turn !== "unsupported") await turn.release();
  }
}

/** In Linux's abstract namespace (unix(7)) a name goes with its process: this one is never stale. */
async function turnName(file: string): Promise<string> {
  const { dev, ino } = await fsp.stat(path.dirname(file));
  return `\0postern-audit-${hash("sha256", `${dev} ${ino} ${path.basename(file)}`)}`;
}

function lockedJustNow(file: string): Error {
  return new Error(`audit.file: ${file} was locked by another process just now: start again`);
}

function shortest(absolute: string): string {
  const relative = path.relative(process.cwd(), absolute);
  return relative.length < absolute.length ? relative : absolute;
}

const UNSUPPORTED = new Set(["EOPNOTSUPP", "ENOTSUP", "EPERM", "ENOSYS"]);

function listen(socketPath: string): Promise<WriterLock | "in_use" | "unsupported"> {
  return new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EADDRINUSE") resolve("in_use");
      else if (UNSUPPORTED.has(error.code ?? "")) resolve("unsupported");
      else reject(error);
    });
    server.listen(socketPath, () => {
      server.unref();
      resolve({ release: () => new Promise((done) => server.close(() => done())) });
    });
  });
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(socketPath);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => {
      // Refused or gone: nobody listens. Anything else (a full backlog) means that somebody does.
      resolve(error.code !== "ECONNREFUSED" && error.code !== "ENOENT");
    });
  });
}
