import type { Path } from "../problem.ts";
import type { Report } from "../report.ts";

/** Attachments apply in the order of the config: what signs stands behind what it signs. */
export class SigningOrder {
  readonly #report: Report;
  readonly #signers: { readonly as: string; readonly reads: readonly string[] }[] = [];

  constructor(report: Report) {
    this.#report = report;
  }

  /** @param reads what one that signs looks at; `null` for one that only writes */
  add(as: string, writes: readonly string[], reads: readonly string[] | null, path: Path): void {
    for (const signer of this.#signers) {
      const place = reads === null ? "the request" : writes.find((written) => signer.reads.includes(written));
      if (place === undefined) continue;
      this.#report.add(path, `${as} changes ${place} behind ${signer.as}, which signs it: put it before ${signer.as}`);
      return;
    }
    if (reads !== null) this.#signers.push({ as, reads });
  }
}
