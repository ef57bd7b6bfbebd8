import { formatReference } from "../../core/canonical-reference.ts";
import type { Clock } from "../../core/clock.ts";
import { referenceOfSource } from "../../core/source-reference.ts";
import { runHelper } from "./run-helper.ts";
import {
  copyOf,
  type CredentialSource,
  type RootShape,
  type SourceContext,
  SourceError,
  type SourceReading,
} from "./source.ts";

/** What a helper may see of the environment; the roots of other credentials are not among it. */
const INHERITED = ["PATH", "HOME", "LANG", "TZ", "TMPDIR"];

interface Held {
  readonly reading: SourceReading;
  /** Monotonic ms up to which it may be given out again. */
  readonly reuseUntilMs: number;
}

/**
 * A root that a helper program prints as JSON. Readers at the same time share one run. A result with an expiry is given out
 * again until half of its life is over; one without is never held, because nobody knows how long it is good.
 */
export class ExecSource implements CredentialSource {
  readonly reference: string;
  readonly timeoutMs: number;
  readonly #command: readonly string[];
  readonly #kind: RootShape;
  readonly #clock: Clock;
  readonly #environment: Readonly<Record<string, string>>;
  readonly #closing = new AbortController();
  #running: Promise<SourceReading> | null = null;
  #held: Held | null = null;

  constructor(
    spec: { readonly command: readonly string[]; readonly timeoutMs: number },
    kind: RootShape,
    context: Pick<SourceContext, "clock" | "environment">,
  ) {
    this.#command = spec.command;
    this.timeoutMs = spec.timeoutMs;
    this.#kind = kind;
    this.#clock = context.clock;
    this.#environment = pick(context.environment);
    this.reference = formatReference(referenceOfSource({ from: "exec", ...spec }));
  }

  async read(fresh: boolean): Promise<SourceReading> {
    const held = this.#held;
    if (!fresh && held !== null && this.#clock.monotonicMs() < held.reuseUntilMs) return copyOf(held.reading);
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
    return copyOf(await this.#running);
  }

  close(): void {
    this.#closing.abort();
    this.#hold(null);
  }

  async #run(): Promise<SourceReading> {
    const where = `helper "${this.#command[0]}"`;
    const [output, { readHelperAnswer }] = await Promise.all([
      runHelper({
        command: this.#command,
        timeoutMs: this.timeoutMs,
        environment: this.#environment,
        where,
        signal: this.#closing.signal,
      }),
      // Its schemas bring zod, which an edge without helpers has no use for (docs/decisions/0013).
      import("./helper-answer.ts"),
    ]);
    const reading = readHelperAnswer(output, this.#kind, where, this.#clock);
    if (this.#closing.signal.aborted) {
      reading.secret.zero();
      throw new SourceError(`${where} was stopped: its entry was changed, or custody is shutting down`);
    }
    const { expiresAtMs } = reading;
    const nowMs = this.#clock.monotonicMs();
    this.#hold(expiresAtMs === null ? null : { reading, reuseUntilMs: nowMs + (expiresAtMs - nowMs) / 2 });
    // By then everybody who waited for this run has made a copy.
    if (expiresAtMs === null) setImmediate(() => reading.secret.zero());
    return reading;
  }

  #hold(next: Held | null): void {
    this.#held?.reading.secret.zero();
    this.#held = next;
  }
}

function pick(environment: SourceContext["environment"]): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of INHERITED) {
    const value = environment[name];
    if (value !== undefined) picked[name] = value;
  }
  return picked;
}
