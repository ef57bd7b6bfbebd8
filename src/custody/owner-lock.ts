import { randomBytes } from "node:crypto";
import { link, lstat, rename, rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";
import { basename, dirname, join, relative } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { SourceError } from "./sources/source.ts";

/** Longest path of a unix socket on macOS; on Linux it is 107 bytes. */
const MAX_SOCKET_PATH = 103;
/** One that is being closed is waited for: a reload hands a file over within one process. */
const WAIT_MS = 2_000;
const LOOK_EVERY_MS = 50;

/**
 * One owner a file, across processes of one machine. The lock is a listening unix socket beside the file: the kernel gives it
 * up when the process dies however it dies, and a stale one is told from a live one by connecting. It is made under a name of
 * its own and linked into place, which is atomic; a name that was taken away by mistake is noticed by `isHeld`.
 */
export class OwnerLock {
  readonly #path: string;
  readonly #server: Server;
  readonly #inode: bigint;

  private constructor(path: string, server: Server, inode: bigint) {
    this.#path = path;
    this.#server = server;
    this.#inode = inode;
  }

  /**
   * @param file absolute
   * @throws SourceError when another one owns it, or when the file system has no such locks
   */
  static async take(file: string): Promise<OwnerLock> {
    const path = shortest(join(dirname(file), `.${basename(file)}.lock`));
    const own = `${path}.${randomBytes(4).toString("hex")}`;
    if (Buffer.byteLength(own) > MAX_SOCKET_PATH)
      throw new SourceError(`"${file}" has too long a path for its lock: use a shorter directory`);
    const server = await listen(own, file);
    const { ino } = await lstat(own, { bigint: true });
    try {
      for (let leftMs = WAIT_MS; ; leftMs -= LOOK_EVERY_MS) {
        if (await linked(own, path)) return new OwnerLock(path, server, ino);
        if (!(await answers(path))) await clear(path, own);
        else if (leftMs <= 0)
          throw new SourceError(`"${file}" is owned by another custody: stop it, or give each a file of its own`);
        else await sleep(LOOK_EVERY_MS);
      }
    } catch (error) {
      server.close();
      throw error;
    } finally {
      await rm(own, { force: true });
    }
  }

  /** Whether the name is still ours. */
  async isHeld(): Promise<boolean> {
    return (await inodeAt(this.#path)) === this.#inode;
  }

  async release(): Promise<void> {
    if (await this.isHeld()) await rm(this.#path, { force: true });
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }
}

function shortest(absolute: string): string {
  const near = relative(process.cwd(), absolute);
  return near.length < absolute.length ? near : absolute;
}

function listen(path: string, file: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error: NodeJS.ErrnoException) =>
      reject(new SourceError(`"${file}" cannot be locked (${error.code ?? "unknown"}): check its directory`)),
    );
    server.listen(path, () => {
      // Owning a file is no reason for a process to live.
      server.unref();
      resolve(server);
    });
  });
}

/** @returns `false` when the name is taken */
async function linked(own: string, path: string): Promise<boolean> {
  try {
    await link(own, path);
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    if (code === "EEXIST") return false;
    throw new SourceError(`"${path}" cannot be made (${code}): use a file system that has hard links and sockets`);
  }
}

/** Takes a dead owner's name away. Should it have come to life meanwhile, it gets its name back. */
async function clear(path: string, own: string): Promise<void> {
  const aside = `${own}.old`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
  if (await answers(aside)) await linked(aside, path);
  await rm(aside, { force: true });
}

async function inodeAt(path: string): Promise<bigint | null> {
  try {
    return (await lstat(path, { bigint: true })).ino;
  } catch {
    // Whatever keeps it from being seen: it is not known to be ours.
    return null;
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
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
