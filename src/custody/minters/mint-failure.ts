import { SourceError } from "../sources/source.ts";

export interface MintFailureHints {
  /** How long the issuer asks to be left alone, `ms`, or `null`. */
  readonly retryAfterMs?: number | null;
  /** It is the issuer, or who we are to it, and not what this one lease asks for: other leases would fail alike. */
  readonly isWide?: boolean;
}

/** Why an issuer gave nothing. The text is for operators, ends in a next step and quotes nothing that the issuer wrote. */
export class MintFailure extends SourceError {
  readonly retryAfterMs: number | null;
  readonly isWide: boolean;

  constructor(text: string, { retryAfterMs = null, isWide = false }: MintFailureHints = {}) {
    super(text);
    this.retryAfterMs = retryAfterMs;
    this.isWide = isWide;
  }
}
