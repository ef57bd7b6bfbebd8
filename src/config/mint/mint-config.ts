import type { z } from "zod";
import type { CredentialKind, SourceSpec } from "../../core/credential.ts";
import type { MintSpec } from "../../core/mint.ts";
import type { FileSet } from "../file-set.ts";
import type { Path } from "../problem.ts";
import type { Report } from "../report.ts";
import type { RawSource } from "../source-schema.ts";

/** The member of the spec union that one file of this folder takes in. */
export type SpecOf<As extends MintSpec["as"]> = Extract<MintSpec, { readonly as: As }>;

/** A schema whose values say which minter they are. */
export type MintSchema<As extends MintSpec["as"]> = z.ZodObject<{ as: z.ZodLiteral<As> } & z.ZodRawShape>;

/** What the taking in of `mint:` needs from outside. */
export interface MintContext {
  /** Where `mint:` stands. */
  readonly path: Path;
  readonly report: Report;
  readonly files: FileSet;
  /** Where the root is read. */
  readonly root: RawSource;
  /** A further source, as `source:` of a credential is taken in. */
  readonly source: (raw: RawSource) => SourceSpec;
}

/** How one kind of minter is written in a config. One file a kind; `table.ts` has a line for each. */
export interface MintConfig<As extends MintSpec["as"], Schema extends MintSchema<As> = MintSchema<As>> {
  readonly schema: Schema;
  /** What a lease of it brings. */
  kind(raw: z.output<Schema>): CredentialKind;
  /** What the text means; what could not be understood is in the report. */
  spec(raw: z.output<Schema>, context: MintContext): SpecOf<As>;
}

/** Ties a kind to its own schema, so that `spec` knows what it is given. */
export function mintConfig<As extends MintSpec["as"], Schema extends MintSchema<As>>(
  config: MintConfig<As, Schema>,
): MintConfig<As, Schema> {
  return config;
}
