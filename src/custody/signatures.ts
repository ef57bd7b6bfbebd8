import { sessionKey } from "../core/session-key.ts";
import { LeaseRefusal } from "../core/custody.ts";
import { Denial } from "../core/denial.ts";
import type { Lease } from "../core/exchange.ts";
import { LeaseGone } from "../core/lease-denials.ts";
import type { KeptCustody } from "./kept-custody.ts";

/** Signatures that are waited for at one time, in all and for one session. */
const MOST = 1_024;
const MOST_PER_SESSION = 128;

/** What the edge asks custody to sign: bounded, so that a custody that hangs holds up no more than its share. */
export class Signatures {
  readonly #perSession = new Map<string, number>();
  #running = 0;

  /**
   * @param custody that the lease came from; `undefined` when there is none of that name any more
   * @throws LeaseGone when the lease is not live there; Denial `custody_unavailable`, `lease_denied`
   */
  async ask(custody: KeptCustody | undefined, lease: Lease, input: string, cancelled: AbortSignal): Promise<string> {
    if (custody === undefined) throw new LeaseGone("the custody of the lease was reconfigured");
    const session = sessionKey({ tenant: lease.scope.tenant, id: lease.scope.session });
    const running = this.#perSession.get(session) ?? 0;
    if (this.#running >= MOST || running >= MOST_PER_SESSION)
      throw new Denial("custody_unavailable", { cause: "too many signatures are waited for" });
    this.#running++;
    this.#perSession.set(session, running + 1);
    try {
      return await custody.sign(lease.id, input, cancelled);
    } catch (thrown) {
      if (thrown instanceof LeaseRefusal && thrown.reason === "lease_unknown")
        throw new LeaseGone("custody does not know the lease any more");
      throw thrown;
    } finally {
      this.#running--;
      const left = (this.#perSession.get(session) ?? 1) - 1;
      if (left > 0) this.#perSession.set(session, left);
      else this.#perSession.delete(session);
    }
  }
}
