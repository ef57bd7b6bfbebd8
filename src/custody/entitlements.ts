import { Authority } from "../core/authority.ts";
import { hostsCover } from "../core/credential.ts";
import { LeaseRefusal, type LeaseRequest, type LeaseSession } from "../core/custody.ts";
import { narrowableOf } from "../core/mint.ts";
import { outsideOf } from "../core/narrow.ts";
import { mayReach, type TenantMounts } from "../core/tenant-mounts.ts";
import { type Caller, edgeVouches, type SessionCheck } from "./caller.ts";
import type { Catalogue, CatalogueItem } from "./catalogue.ts";
import type { Revocations } from "./revocations.ts";
import { SourceError } from "./sources/source.ts";

export interface EntitlementsOptions {
  /** The first one in force. */
  readonly catalogue: Catalogue;
  readonly tenantMounts: TenantMounts | null;
  readonly revocations: Revocations;
  readonly sessions: SessionCheck | undefined;
}

/** Who may have what right now, by the catalogue in force, the mounts of the tenants and what is revoked. Says no or names the item. */
export class Entitlements {
  readonly #options: EntitlementsOptions;
  #catalogue: Catalogue;
  #tenantMounts: TenantMounts | null;

  constructor(options: EntitlementsOptions) {
    this.#options = options;
    this.#catalogue = options.catalogue;
    this.#tenantMounts = options.tenantMounts;
  }

  /** @param tenantMounts left out: as they are */
  use(next: Catalogue, tenantMounts: TenantMounts | null = this.#tenantMounts): void {
    this.#catalogue = next;
    this.#tenantMounts = tenantMounts;
  }

  get catalogue(): Catalogue {
    return this.#catalogue;
  }

  isInForce(item: CatalogueItem): boolean {
    return this.#catalogue.find(item.entry.name) === item;
  }

  /** Session, tenant, revocations and scope. @throws LeaseRefusal */
  of(caller: Caller, request: Entitlement): CatalogueItem {
    const { session, credential, host, port } = request;
    const unknown = (this.#options.sessions ?? edgeVouches)(caller, session);
    if (unknown !== null) throw new LeaseRefusal(unknown);
    if (!allows(caller.tenants, session.tenant)) throw new LeaseRefusal("caller_not_allowed");
    this.mustNotBeRevoked(session, credential);
    const item = this.#catalogue.find(credential);
    if (item === undefined) throw new LeaseRefusal("credential_unknown");
    // Whatever the entry says: a slip in one entry must not hand out what another tenant keeps.
    if (!this.#mayReach(session.tenant, item)) throw new LeaseRefusal("mount_not_allowed");
    if (!allows(item.entry.tenants, session.tenant)) throw new LeaseRefusal("tenant_not_allowed");
    const authority = Authority.parse(`${host.includes(":") ? `[${host}]` : host}:${port}`, null);
    // Only the one canonical spelling is compared; any other is somebody trying.
    const isCovered = authority !== null && authority.host === host && hostsCover(item.entry.hosts, authority.text);
    if (!isCovered) throw new LeaseRefusal("scope_not_allowed");
    mustBeWithin(item, request);
    return item;
  }

  /** @throws LeaseRefusal */
  mustNotBeRevoked(
    { id, tenant }: Pick<LeaseSession, "id" | "tenant">,
    credential: string,
    lease: string | null = null,
  ): void {
    const reason = this.#options.revocations.against({ lease, credential, session: id, tenant });
    if (reason !== null) throw new LeaseRefusal(reason);
  }

  /** Whether the caller may act for a tenant, and the tenant has what it is leased in its mounts; nothing of the rest. */
  mayServe(caller: Caller, tenant: string, credential: string): boolean {
    const item = this.#catalogue.find(credential);
    return item !== undefined && allows(caller.tenants, tenant) && this.#mayReach(tenant, item);
  }

  /** A reload came while the root was read: what the old entry allowed says nothing any more. */
  mustBeInForce(item: CatalogueItem, tenant: string): void {
    const { name } = item.entry;
    const now = this.#catalogue.find(name);
    if (now === undefined) throw new LeaseRefusal("credential_unknown");
    if (!this.#mayReach(tenant, now)) throw new LeaseRefusal("mount_not_allowed");
    if (now === item) return;
    throw new SourceError(
      `credential "${name}" was changed by a reload in this very moment: the next lease is of the new one`,
    );
  }

  #mayReach(tenant: string, { keptAt }: CatalogueItem): boolean {
    return keptAt.every((reference) => mayReach(this.#tenantMounts, tenant, reference));
  }
}

/** What a lease is asked for, or prolonged. */
export type Entitlement = Pick<LeaseRequest, "session" | "credential" | "host" | "port" | "narrow">;

/** Scope never widens: what the catalogue has no list for cannot be narrowed, and what is not in its list is more. */
function mustBeWithin({ entry }: CatalogueItem, { narrow }: Entitlement): void {
  const outside = narrow === undefined ? null : outsideOf(narrowableOf(entry.mint), narrow);
  if (outside !== null) throw new LeaseRefusal("scope_not_allowed", `narrow.${outside.name} is not within the entry`);
}

/** `null` spells "all"; an empty list means none. */
function allows(tenants: readonly string[] | null, tenant: string): boolean {
  return tenants === null || tenants.includes(tenant);
}
