import { once } from "node:events";
import { access, chmod, constants, lstat, unlink } from "node:fs/promises";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";

/** Owner and group may connect, nobody else: who is in the group may lease. */
export const SOCKET_MODE = 0o660;

/**
 * Listens on a unix socket that is never open to others, not even between bind and chmod.
 * @throws Error with a next step when the path is taken by something that is alive or no socket
 */
export async function listenOnUnixSocket(server: Server, path: string, mode = SOCKET_MODE): Promise<void> {
  await clearStaleSocket(path);
  const before = process.umask(0o777 & ~mode);
  try {
    // The bind happens inside this call, under the mask.
    server.listen({ path });
  } finally {
    process.umask(before);
  }
  await once(server, "listening");
  await chmod(path, mode);
}

/**
 * Removes a socket that nobody answers on: it was left by a process that died.
 * @throws Error with a next step when the path is taken by something that is alive or no socket, or leads nowhere
 */
export async function clearStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  if (found === null) return await mustTakeSocket(path);
  if (!found.isSocket()) throw new Error(`${path} is not a socket: remove it or listen on another path`);
  if (await answers(path)) throw new Error(`${path} is in use: stop the other process or listen on another path`);
  await unlink(path);
}

/** A bind says EACCES for a directory that is not there as well. */
async function mustTakeSocket(path: string): Promise<void> {
  const directory = dirname(path);
  try {
    await access(directory, constants.W_OK | constants.X_OK);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    throw new Error(
      `${path} cannot be listened on: ${directory} is not there, or this user may not write to it (${code}): make it, or listen on another path`,
      { cause: error },
    );
  }
}

async function answers(path: string): Promise<boolean> {
  const socket = connect({ path });
  try {
    await once(socket, "connect");
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null;
    if (code === "ECONNREFUSED" || code === "ENOENT") return false;
    throw error;
  } finally {
    socket.destroy();
  }
}
