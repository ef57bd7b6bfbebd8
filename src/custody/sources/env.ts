import { formatReference } from "../../core/canonical-reference.ts";
import { referenceOfSource } from "../../core/source-reference.ts";
import { rootOf } from "./root-text.ts";
import { type CredentialSource, type SourceContext, SourceError, type SourceReading } from "./source.ts";

/** A root in an environment variable of the custody process. Helpers that custody starts do not inherit it. */
export class EnvSource implements CredentialSource {
  readonly reference: string;
  readonly timeoutMs = 1_000;
  readonly #variable: string;
  readonly #environment: SourceContext["environment"];

  constructor(variable: string, context: Pick<SourceContext, "environment">) {
    this.#variable = variable;
    this.#environment = context.environment;
    this.reference = formatReference(referenceOfSource({ from: "env", variable }));
  }

  async read(_fresh: boolean): Promise<SourceReading> {
    const where = `environment variable ${this.#variable}`;
    const text = this.#environment[this.#variable];
    if (text === undefined) throw new SourceError(`${where} is not set: export it for the custody process`);
    return { username: null, secret: rootOf(text, where), expiresAtMs: null };
  }

  close(): void {
    // The environment belongs to the process: there is nothing of ours to zero.
  }
}
