import { LeaseRefusal } from "../core/custody.ts";
import type { RevocationChange } from "../core/revocation.ts";
import type { Catalogue, CatalogueItem } from "./catalogue.ts";
import type { Ledger } from "./ledger.ts";

/** No revocation, and in no journal: it is over with this life of the custody. */
const ID = "custody-ends";

/**
 * What a custody takes along when it ends: credentials that are given back at their issuer then, while leases of them are at edges.
 * Edges are told before, and no more of them are leased, so that none of them is sent after it has died.
 */
export class Ending {
  #hasBegun = false;

  /** From now on nothing is leased that ends with custody. @returns what edges are told to drop */
  begin(catalogue: Catalogue, ledger: Ledger): readonly RevocationChange[] {
    this.#hasBegun = true;
    const names = new Set<string>();
    for (const { credential } of ledger.live({ scope: "all", value: "", tenant: null }))
      if (catalogue.find(credential.name)?.minter.endsWithCustody === true) names.add(credential.name);
    return [...names].map((value) => ({ type: "revoked", id: ID, scope: "credential", value, tenant: null }));
  }

  /** @throws LeaseRefusal `draining` for what would be dead on arrival */
  check({ minter }: CatalogueItem): void {
    if (this.#hasBegun && minter.endsWithCustody === true) throw new LeaseRefusal("draining");
  }
}
