import type { Secret } from "../../core/secret.ts";
import type { VaultAuth } from "./answer.ts";
import { VaultFault } from "./fault.ts";
import type { LoggedIn } from "./login.ts";

/** A token that custody holds. Leases that were made with it die when it does. */
export class VaultToken {
  readonly secret: Secret;
  /** For logs: names the token in the server's audit. */
  readonly accessor: string;
  /** It was made for this custody alone, which ends it. */
  readonly isOurs: boolean;
  readonly isBatch: boolean;
  isRenewable: boolean;
  /** Monotonic ms. */
  expiresAtMs: number;
  /** Leases that live by it. */
  leases = 0;
  isRetired = false;

  constructor({ auth, sentAtMs }: LoggedIn, isOurs: boolean) {
    this.secret = auth.token;
    this.accessor = auth.accessor;
    this.isOurs = isOurs;
    this.isBatch = auth.isBatch;
    this.isRenewable = auth.isRenewable && !auth.isBatch;
    this.expiresAtMs = auth.ttlSeconds === 0 ? Number.POSITIVE_INFINITY : sentAtMs + auth.ttlSeconds * 1000;
  }
}

/** Tokens that custody will not run on. */
export function refusalOf({ ttlSeconds, uses, policies }: VaultAuth, where: string): VaultFault | null {
  const refused = (what: string) => new VaultFault("token_refused", `${where}: ${what}`);
  if (policies.includes("root"))
    return refused(
      "the token has the policy root, and custody runs on none that may do everything: give its role a policy that reads what it leases",
    );
  if (ttlSeconds === 0)
    return refused("the token never expires, and custody runs on none of that kind: give it a token_ttl or a period");
  if (uses > 0)
    return refused(`the token may be used ${uses} times only, which no custody can live by: set token_num_uses to 0`);
  return null;
}
