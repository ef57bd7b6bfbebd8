/** The well-known symbol of `util.inspect`, spelled out so that core imports nothing. */
const inspectCustom = Symbol.for("nodejs.util.inspect.custom");

/**
 * A value that must never be printed. It shows as `[secret]` in every rendering that JavaScript has (string, JSON, inspect);
 * `reveal()` is the one greppable way in. `zero()` overwrites the bytes, after which `reveal()` throws.
 */
export class Secret {
  #bytes: Buffer | null;
  #text: string | null = null;

  private constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** @param text the secret; its bytes are kept as UTF-8 */
  static of(text: string): Secret {
    const bytes = Buffer.allocUnsafeSlow(Buffer.byteLength(text));
    bytes.write(text);
    return new Secret(bytes);
  }

  /** The plain value. Callers hand it to one sink and keep no reference. */
  reveal(): string {
    if (this.#bytes === null) throw new Error("secret was zeroed");
    // Rendered once a lease, not once a request: the string lives as long as the secret does.
    this.#text ??= this.#bytes.toString("utf8");
    return this.#text;
  }

  get isZeroed(): boolean {
    return this.#bytes === null;
  }

  /** Overwrites the bytes. Strings that were revealed before are left to the garbage collector. */
  zero(): void {
    this.#bytes?.fill(0);
    this.#bytes = null;
    this.#text = null;
  }

  toString(): string {
    return "[secret]";
  }

  toJSON(): string {
    return "[secret]";
  }

  [inspectCustom](): string {
    return "[secret]";
  }
}
