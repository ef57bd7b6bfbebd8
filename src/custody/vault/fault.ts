import { SourceError } from "../sources/source.ts";

/** Why a Vault gives nothing, by name. */
export type VaultFaultKind =
  /** No answer, or none in time. */
  | "unreachable"
  /** Something answers that is no Vault, or an answer of the wrong shape. */
  | "unreadable"
  | "redirect"
  | "sealed"
  | "uninitialised"
  /** A node that cannot serve: a disaster-recovery secondary, or a performance standby behind. */
  | "wrong_node"
  | "rate_limited"
  /** The server, or the engine behind it, failed. */
  | "failing"
  | "login_refused"
  | "token_refused"
  | "forbidden"
  | "absent"
  | "refused"
  /** Somebody else may have opened what was meant for custody alone. */
  | "security";

/** Kinds that speak of the server as a whole, not of one secret in it. */
const OF_SERVER: ReadonlySet<VaultFaultKind> = new Set<VaultFaultKind>([
  "unreachable",
  "unreadable",
  "redirect",
  "sealed",
  "uninitialised",
  "wrong_node",
  "rate_limited",
  "login_refused",
  "token_refused",
  "security",
]);

/** A `SourceError` of a Vault. Its text is ours alone: a server's own words could hold what was sent to it. */
export class VaultFault extends SourceError {
  readonly kind: VaultFaultKind;

  constructor(kind: VaultFaultKind, text: string) {
    super(text);
    this.kind = kind;
  }

  get isOfServer(): boolean {
    return OF_SERVER.has(this.kind);
  }
}

/**
 * What a status means that is neither success nor one of the place that was asked (400, 403, 404).
 * @param where names the server in errors, e.g. `vault "main"`
 * @returns `null` for a status that the caller judges
 */
export function faultOfStatus(status: number, where: string): VaultFault | null {
  if (status === 200 || status === 204 || status === 202) return null;
  if (status === 400 || status === 403 || status === 404) return null;
  if (status >= 300 && status < 400)
    return new VaultFault(
      "redirect",
      `${where} answers with a redirect (status ${status}), which is never followed with a token: write the address of the active node, or of the load balancer`,
    );
  const [kind, text] = STATUSES[status] ?? [
    "unreadable",
    `answers with status ${status}, which its API does not know here: check that the address is that of a Vault`,
  ];
  return new VaultFault(kind, `${where} ${text}`);
}

const STATUSES: Readonly<Record<number, readonly [VaultFaultKind, string]>> = {
  405: ["refused", "does not support this operation on this path (status 405): check mount, path and engine"],
  412: ["failing", "has not replicated the state yet (status 412): try again, or write the address of the active node"],
  413: ["refused", "finds the request too large (status 413): shorten the path, or raise max_request_size there"],
  429: ["rate_limited", "limits the rate of requests (status 429): raise its quota, or give custody a longer cache"],
  472: ["wrong_node", "is a disaster-recovery secondary (status 472): write the address of the primary"],
  473: ["wrong_node", "is a performance standby (status 473): write the address of the active node"],
  500: ["failing", "failed inside (status 500): read the log of the server; the engine's backend may be down"],
  501: ["uninitialised", "is not initialised (status 501): initialise and unseal it"],
  502: ["failing", "could not reach what its engine needs (status 502): look at the engine's backend"],
  503: ["sealed", "is sealed or locked (status 503): unseal it, or unlock the namespace"],
  504: ["failing", "was not answered in time by what stands behind it (status 504): look at the load balancer"],
};
