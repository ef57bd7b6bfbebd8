import { Authority } from "../core/authority.ts";
import { Denial } from "../core/denial.ts";
import type { UpstreamParent } from "../core/destination.ts";
import { Permit } from "../core/exchange.ts";

const authorities = new WeakMap<UpstreamParent, Authority>();

/**
 * The permit for the parent that an exchange goes through: guard, custody and attachments then treat the parent as they treat every
 * destination. It comes from the permit of an exchange and names its session, so that a guest who may reach nothing makes nobody
 * ask a parent.
 * @throws Denial `internal` when the destination has no parent
 */
export function permitForParent(permit: Permit): Permit {
  const { parent } = permit.destination;
  if (parent === null) throw new Denial("internal", { cause: "the destination has no parent" });
  return Permit.grant(permit.session, authorityOf(parent), parent.destination, "parent");
}

function authorityOf(parent: UpstreamParent): Authority {
  let authority = authorities.get(parent);
  if (authority === undefined) {
    const parsed = Authority.parse(parent.address, null);
    if (parsed === null) throw new Denial("internal", { cause: `parent ${parent.name} has no address` });
    authority = parsed;
    authorities.set(parent, authority);
  }
  return authority;
}
