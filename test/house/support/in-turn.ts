/**
 * Answers once the answer before has left the server, so that interim answers go out ahead of the final one. Of an answer that waits
 * for its turn `node:http` writes the final head first and 1xx heads after it, as its body: a client that is as quick as to send its
 * next request before the server was told that its last answer was written would see that.
 */
export function inTurn(response: Turned, answer: () => void): void {
  if (response.socket === null) response.once("socket", answer);
  else answer();
}

/** `ServerResponse`, which has a socket when its turn has come, and its namesake of HTTP/2, which always has one. */
interface Turned {
  readonly socket: unknown;
  once(event: "socket", listener: () => void): unknown;
}
