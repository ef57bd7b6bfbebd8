import type { SyntheticSpec } from "../core/destination.ts";
import type { Ask, Permit } from "../core/exchange.ts";
import type { SyntheticAnswer, SyntheticPort } from "../core/ports.ts";
import { awsSts } from "./aws-sts.ts";
import { githubInstallationToken } from "./github-installation-token.ts";
import { oauth2Token } from "./oauth2-token.ts";
import { registryToken } from "./registry-token.ts";

/**
 * Token endpoints that the edge answers itself, for programs in the sandbox that insist on asking one. The answer is right in
 * form and holds a stand-in: the real credential is attached where the stand-in is used. Nothing is asked of custody, nothing
 * is resolved, dialled or sent.
 */
export interface SyntheticTools {
  /** Wall clock, ms. */
  readonly wallMs: () => number;
  /** A text that is different each time, for request ids. */
  readonly newId: () => string;
}

/** Makes the answer of one kind. @param body whole, at most `SYNTHETIC_BODY_BYTES` */
export type SyntheticMaker<As extends SyntheticSpec["as"]> = (
  spec: Extract<SyntheticSpec, { readonly as: As }>,
  ask: Ask,
  body: Buffer,
  tools: SyntheticTools,
) => SyntheticAnswer;

/** One line a kind: a kind in the vocabulary without a line here does not compile. */
const MAKERS: { readonly [As in SyntheticSpec["as"]]: SyntheticMaker<As> } = {
  oauth2_token: oauth2Token,
  registry_token: registryToken,
  github_installation_token: githubInstallationToken,
  aws_sts: awsSts,
};

export function createSyntheticPort(tools: SyntheticTools): SyntheticPort {
  return {
    answer(permit: Permit, ask: Ask, body: Buffer): SyntheticAnswer {
      const { synthetic } = permit.destination;
      if (synthetic === null) throw new TypeError("the destination has an upstream");
      return make(synthetic, ask, body, tools);
    },
  };
}

function make<As extends SyntheticSpec["as"]>(
  spec: Extract<SyntheticSpec, { readonly as: As }> & { readonly as: As },
  ask: Ask,
  body: Buffer,
  tools: SyntheticTools,
): SyntheticAnswer {
  return (MAKERS[spec.as] as unknown as SyntheticMaker<As>)(spec, ask, body, tools);
}
