import { hostname, networkInterfaces } from "node:os";
import type { Authority } from "../core/authority.ts";
import type { Clock } from "../core/clock.ts";
import { Denial } from "../core/denial.ts";
import { type Permit, type Pinned, PinnedAddress, PinnedName } from "../core/exchange.ts";
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
  /** Names of this machine; `os.hostname` when left out. */
  readonly ownNames?: () => readonly string[];
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
  readonly #ownNames: () => readonly string[];

  constructor(options: AddressGuardOptions) {
    this.#answers = new AnswerCache(options);
    this.#own = new OwnListeners(options.own, options.interfaces ?? localAddresses);
    this.#ownNames = options.ownNames ?? (() => [hostname()]);
  }

  pin(permit: Permit): Pinned | Promise<Pinned> {
    const { authority, destination } = permit;
    if (authority.ip !== null) return this.#check(authority, [authority.ip], destination.addresses);
    if (destination.parent?.connectBy === "name") return this.#checkName(authority, destination.addresses);
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
   * A name that a parent will resolve, for operators.
   * @returns why it would be refused, or `null`
   */
  surveyName(authority: Authority, named: readonly IpRange[]): Denial | null {
    return this.#nameDenial(authority, named);
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

  #checkName(authority: Authority, named: readonly IpRange[]): PinnedName {
    const denial = this.#nameDenial(authority, named);
    if (denial !== null) throw denial;
    return PinnedName.check(authority);
  }

  /** What a name says by itself: whoever resolves it, these lead to the machine of the one who does, or to this one. */
  #nameDenial(authority: Authority, named: readonly IpRange[]): Denial | null {
    const { host, port } = authority;
    // RFC 6761 §6.3.
    if (host === "localhost" || host.endsWith(".localhost")) {
      for (const ip of LOOPBACKS) {
        const denial = this.#denial(ip, authority, named);
        if (denial !== null) return denial;
      }
    }
    const isOwn = this.#ownNames().some((name) => name.toLowerCase() === host);
    return isOwn && this.#own.hasPort(port)
      ? new Denial("loop_detected", { cause: `${authority.text} is a listener of the edge itself` })
      : null;
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

const LOOPBACKS: readonly IpBytes[] = [Uint8Array.of(127, 0, 0, 1), new Uint8Array(16).fill(1, 15)];

function localAddresses(): readonly string[] {
  return Object.values(networkInterfaces()).flatMap((entries) => (entries ?? []).map(({ address }) => address));
}
