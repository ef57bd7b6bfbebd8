import { jsonObject } from "../../core/json-text.ts";
import { request } from "node:http";
import { CommandFailure, EXIT } from "../command.ts";

/** A list of 1,000 leases with the longest names is smaller, `bytes`. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const TIMEOUT_MS = 10_000;

/** What custody says to a refusal, as an operator reads it. */
const ADVICE: Readonly<Record<string, string>> = {
  caller_not_allowed: "this socket is for edges: name the one under `operators` in custody's config",
  nothing_of_this_id: "there is nothing of this id, or it is over: list what there is",
  audit_unavailable: "custody cannot write its audit, so nothing was changed: look at its log and its disk",
  state_unavailable: "custody cannot write its state file, so nothing was changed: look at its log and its disk",
  request_malformed: "custody does not understand this: look at the value, and use the postern of the same version",
  overloaded: "custody is asked for too much: try again, or lift what is not needed any more",
  draining: "custody is shutting down: try again once it is back",
};

/**
 * Asks a custody over its operators' socket.
 * @returns the JSON of its answer
 * @throws CommandFailure with a next step; code 2 when the socket is not one that custody listens on
 */
export async function askCustody(socket: string, method: string, path: string, body?: unknown): Promise<unknown> {
  const { status, text } = await exchange(socket, method, path, body === undefined ? null : JSON.stringify(body));
  const json = jsonObject(text);
  if (status === 200 && json !== null) return json;
  const reason = typeof json?.["reason"] === "string" ? json["reason"] : `status ${status}`;
  throw new CommandFailure(`custody refuses (${reason}): ${ADVICE[reason] ?? "look at its log"}`, EXIT.failed);
}

function exchange(
  socketPath: string,
  method: string,
  path: string,
  body: string | null,
): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const headers =
    body === null ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const call = request({ socketPath, method, path, headers, agent: false, signal }, (response) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_ANSWER_BYTES) response.destroy(new Error("an answer that is too large"));
    });
    response.on("end", () =>
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
    );
    response.on("error", reject);
  });
  call.on("error", reject);
  call.end(body ?? undefined);
  return promise.catch((error: NodeJS.ErrnoException) => {
    throw unreachable(socketPath, error);
  });
}

function unreachable(socket: string, { code = "no answer", name }: NodeJS.ErrnoException): CommandFailure {
  if (name === "AbortError" || name === "TimeoutError")
    return new CommandFailure(`${socket}: custody does not answer: look at its log`, EXIT.failed);
  const advice: Readonly<Record<string, string>> = {
    ENOENT: "name the socket under `operators` in custody's config, and see that custody runs",
    ECONNREFUSED: "nobody listens there: start custody",
    EACCES: "you may not operate: ask the owner of the socket",
  };
  const isUsage = code === "ENOENT" || code === "ENOTSOCK";
  const next = advice[code] ?? "see that it is the operators' socket of a custody that runs";
  return new CommandFailure(`${socket}: cannot be reached (${code}): ${next}`, isUsage ? EXIT.usage : EXIT.failed);
}
