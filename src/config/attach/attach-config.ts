import type { z } from "zod";
import type { CredentialEntry } from "../../core/credential.ts";
import type { AttachmentSpec } from "../../core/destination.ts";
import type { Path } from "../problem.ts";
import type { Report } from "../report.ts";

/** The member of the spec union that one file of this folder takes in. */
export type SpecOf<As extends AttachmentSpec["as"]> = Extract<AttachmentSpec, { readonly as: As }>;

/** A schema whose values say which attachment they are. */
export type AttachSchema<As extends AttachmentSpec["as"]> = z.ZodObject<{ as: z.ZodLiteral<As> } & z.ZodRawShape>;

/** How one kind of attachment is written in a config. One file a kind; `table.ts` has a line for each. */
export interface AttachConfig<As extends AttachmentSpec["as"], Schema extends AttachSchema<As> = AttachSchema<As>> {
  readonly schema: Schema;
  /**
   * What the text means.
   * @param entry the credential, or `null` when a remote custody knows it alone
   * @returns `null` when it could not be understood; why is in the report
   */
  spec(raw: z.output<Schema>, entry: CredentialEntry | null, path: Path, report: Report): SpecOf<As> | null;
  /**
   * Whether the material that custody will send can be attached this way.
   * @param needs tells what would fit: `needs a token: write another ...`
   */
  fit(spec: SpecOf<As>, entry: CredentialEntry, needs: (text: string) => void, path: Path, report: Report): void;
  /** Why no other attachment fits beside it; left out: others may. */
  readonly alone?: string;
  /** The names that it writes to, such as `header authorization` or `query key`: each belongs to one attachment. */
  places(spec: SpecOf<As>): readonly string[];
  /**
   * The places that it reads, for one that signs what others wrote; left out: it does not look at them. It stands behind
   * everything that writes, and nothing that it reads is written behind it.
   */
  readonly signs?: (spec: SpecOf<As>) => readonly string[];
}

/** Ties a kind to its own schema, so that `spec` knows what it is given. */
export function attachConfig<As extends AttachmentSpec["as"], Schema extends AttachSchema<As>>(
  config: AttachConfig<As, Schema>,
): AttachConfig<As, Schema> {
  return config;
}
