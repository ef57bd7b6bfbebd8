import { networkInterfaces } from "node:os";
import type { Authority } from "../core/authority.ts";
import type { Clock } from "../core/clock.ts";
import { Denial } from "../core/denial.ts";
import { type Permit, PinnedAddress } from "../core/exchange.ts";
import { formatIp, type IpBytes, type IpRange } from "../core/ip.ts";
import type { AddressPort } from "../core/ports.ts";
import { addressFault, addressLayers, describeFault } from "./address-class.ts";
import { AnswerCache } from "./answer-cache.ts";
import { OwnListeners, type OwnListener } from "./own-listeners.ts";
import type { Lookup } from "./resolver.ts";

export interface AddressGuardOptions {
  readonly lookup: Lookup;
  readonly clock: Clock;
  /** The edge's own listeners and whatever else no guest may reach (admin, metrics, custody), as they are bound. */
  readonly own: () => readonly OwnListener[];
  /** Addresses of this machine; `os.networkInterfaces` when left out. */
  readonly interfaces?: () => readonly string[];
  /** How long an answer is used, ms; 5000 when left out. */
  readonly ttlMs?: number;
  /** How long a lookup may take, ms; 5000 when left out. */
  readonly timeoutMs?: number;
  /** Names remembered at once; 10000 when left out. */
  readonly entries?: number;
  /** Lookups under way at once; 256 when left out. */
  readonly lookups?: number;
}

/**
 * Resolves a name once, checks every answer, and hands out the checked addresses as the only ones that are dialled. One answer
 * that is not permitted refuses the name: a server that mixes in 127.0.0.1 is trying to rebind.
 */
export class AddressGuard implements AddressPort {
  readonly #answers: AnswerCache;
  readonly #own: OwnListeners;

  constructor(options: AddressGuardOptions) {
    this.#answers = new AnswerCache(options);
    this.#own = new OwnListeners(options.own, options.interfaces ?? localAddresses);
  }

  pin(permit: Permit): PinnedAddress | Promise<PinnedAddress> {
    const { authority, destination } = permit;
    if (authority.ip !== null) return this.#check(authority, [authority.ip], destination.addresses);
    const cached = this.#answers.fresh(authority.host);
    if (cached === null) return this.#resolve(authority, destination.addresses);
    const { last } = cached;
    if (last !== null && last.ranges === destination.addresses && last.pinned.authority.port === authority.port) {
      return last.pinned;
    }
    const pinned = this.#check(authority, cached.addresses, destination.addresses);
    cached.last = { ranges: destination.addresses, pinned };
    return pinned;
  }

  /**
   * What an authority leads to, for operators; nothing is dialled and nothing is refused.
   * @throws Denial `name_unresolved`
   */
  async survey(authority: Authority, named: readonly IpRange[]): Promise<readonly SurveyedAddress[]> {
    const addresses = authority.ip === null ? await this.#answers.resolve(authority.host) : [authority.ip];
    return addresses.map((ip) => {
      const denial = this.#denial(ip, authority, named);
      return { address: formatIp(ip), denial: denial?.code ?? null, why: denial?.detail ?? null };
    });
  }

  async #resolve(authority: Authority, named: readonly IpRange[]): Promise<PinnedAddress> {
    return this.#check(authority, await this.#answers.resolve(authority.host), named);
  }

  #check(authority: Authority, addresses: readonly IpBytes[], named: readonly IpRange[]): PinnedAddress {
    for (const ip of addresses) {
      const denial = this.#denial(ip, authority, named);
      if (denial !== null) throw denial;
    }
    return PinnedAddress.check(authority, addresses.map(formatIp));
  }

  #denial(ip: IpBytes, authority: Authority, named: readonly IpRange[]): Denial | null {
    const layers = addressLayers(ip);
    // Before the class: a named range never opens the edge itself.
    if (layers.some((layer) => this.#own.include(layer, authority.port))) {
      return new Denial("loop_detected", { cause: `${authority.text} leads to a listener of the edge itself` });
    }
    const fault = addressFault(ip, named);
    return fault === null
      ? null
      : new Denial("address_denied", { cause: `${authority.text}: ${describeFault(fault)}` });
  }
}

/** One address of a survey. */
export interface SurveyedAddress {
  readonly address: string;
  /** Why it would be refused, or `null`. */
  readonly denial: Denial["code"] | null;
  readonly why: string | null;
}

function localAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map(({ address }) => address));
}
