import type { Authority } from "../core/authority.ts";
import { type Element, readElement, readElements } from "./der-reader.ts";

/**
 * What the name constraints of a chain (RFC 5280 §4.2.1.10) leave to sign for. A leaf outside of them would be refused by
 * the guest with a TLS error that tells nobody why.
 */
export class NameLimits {
  readonly #constraints: readonly Constraints[];

  private constructor(constraints: readonly Constraints[]) {
    this.#constraints = constraints;
  }

  /** @param ders NameConstraints, DER, of every certificate in the chain that has them. @throws RangeError */
  static read(ders: readonly Buffer[]): NameLimits {
    return new NameLimits(ders.map(readConstraints));
  }

  /** Whether there are any. */
  get isLimited(): boolean {
    return this.#constraints.length > 0;
  }

  /** Whether a subject Name is limited too: then a leaf does without. */
  get limitsSubject(): boolean {
    return this.#constraints.some(({ permitted, excluded }) => [...permitted, ...excluded].some(isDirectoryName));
  }

  /** Whether a leaf for the host stays inside, as each certificate of the chain has it. */
  permits(authority: Authority): boolean {
    const tag = authority.ip === null ? TAG_DNS : TAG_IP;
    return this.#constraints.every(({ permitted, excluded }) => {
      const allowed = permitted.filter((base) => base.tag === tag);
      if (excluded.some((base) => base.tag === tag && covers(base, authority))) return false;
      return allowed.length === 0 || allowed.some((base) => covers(base, authority));
    });
  }
}

interface Constraints {
  /** GeneralNames. */
  readonly permitted: readonly Element[];
  readonly excluded: readonly Element[];
}

// GeneralName: [2] dNSName, [4] directoryName, [7] iPAddress.
const TAG_DNS = 0x82;
const TAG_DIRECTORY = 0xa4;
const TAG_IP = 0x87;

function isDirectoryName({ tag }: Element): boolean {
  return tag === TAG_DIRECTORY;
}

/** NameConstraints ::= SEQUENCE { permittedSubtrees [0] OPTIONAL, excludedSubtrees [1] OPTIONAL } */
function readConstraints(der: Buffer): Constraints {
  const lists = readElements(readElement(der).contents);
  const basesOf = (tag: number): Element[] => {
    const list = lists.find((one) => one.tag === tag);
    return list === undefined ? [] : readElements(list.contents).map(baseOf);
  };
  return { permitted: basesOf(0xa0), excluded: basesOf(0xa1) };
}

/** GeneralSubtree ::= SEQUENCE { base GeneralName, ... }; minimum and maximum are not used (RFC 5280). */
function baseOf({ contents }: Element): Element {
  const [base] = readElements(contents);
  if (base === undefined) throw new RangeError("name constraints: subtree without a base");
  return base;
}

function covers(base: Element, { host, ip }: Authority): boolean {
  return ip === null ? coversName(base.contents.toString("latin1").toLowerCase(), host) : coversIp(base.contents, ip);
}

/** `example.com`: itself and everything below; `.example.com`, which CAs write in spite of the RFC: below only; "": all. */
function coversName(base: string, host: string): boolean {
  if (base === "" || host === base) return true;
  return host.endsWith(base.startsWith(".") ? base : `.${base}`);
}

/** Address, then mask, of the same family. */
function coversIp(block: Buffer, ip: Uint8Array): boolean {
  if (block.length !== ip.length * 2) return false;
  return ip.every((byte, i) => {
    const mask = block[ip.length + i] as number;
    return (byte & mask) === ((block[i] as number) & mask);
  });
}
