import type { Ask } from "../core/exchange.ts";

/** Each costs a microsecond: as many as fit into a body would keep everybody else waiting. */
const MOST_PARAMETERS = 100;

/**
 * The parameters of a request: those of a form in its body, or of its query. Nothing in them decides more than the shape of an
 * answer that holds no secret; one that comes twice is as absent (RFC 6749 §3.2).
 */
export class Parameters {
  readonly #all: URLSearchParams;

  /** What has more parameters than any token request reads as none. */
  private constructor(text: string) {
    this.#all = new URLSearchParams(text.split("&", MOST_PARAMETERS + 1).length > MOST_PARAMETERS ? "" : text);
  }

  /** @returns `null` when the body says that it is no form */
  static ofBody(ask: Ask, body: Buffer): Parameters | null {
    const type = (ask.fields.get("content-type") ?? "").split(";", 1)[0] ?? "";
    if (type.trim().toLowerCase() !== "application/x-www-form-urlencoded") return null;
    return new Parameters(body.toString("utf8"));
  }

  static ofQuery(ask: Ask): Parameters {
    const at = ask.target.indexOf("?");
    return new Parameters(at < 0 ? "" : ask.target.slice(at + 1));
  }

  get(name: string): string | null {
    const [value, ...more] = this.#all.getAll(name);
    return value === undefined || value === "" || more.length > 0 ? null : value;
  }
}
