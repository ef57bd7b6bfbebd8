import type { PosternConfig } from "../../config/config.ts";
import type { CredentialEntry } from "../../core/credential.ts";
import type { GuestListener } from "../../guest/listener.ts";
import type { OwnListener } from "../../policy/own-listeners.ts";
import { parseIp } from "../../core/ip.ts";

/** What no guest may be led to, whatever the policy says: the guest listeners, the admin listener, custody. */
export function ownListenersOf(
  config: PosternConfig,
  listeners: readonly GuestListener[],
): {
  readonly all: () => readonly OwnListener[];
  add(listener: { readonly host: string; readonly port: number } | null): void;
} {
  const fixed: OwnListener[] = [];
  for (const custody of config.custodies) {
    if (custody.kind === "remote" && custody.address.kind === "tcp" && parseIp(custody.address.host) !== null) {
      fixed.push({ address: custody.address.host, port: custody.address.port });
    }
    if (custody.kind === "embedded") fixed.push(...custody.credentials.flatMap(vaultOf));
  }
  let all: readonly OwnListener[] | null = null;
  return {
    all: () => {
      all ??= [
        ...fixed,
        ...listeners.filter(({ port }) => port > 0).map(({ host, port }) => ({ address: host, port })),
      ];
      return all;
    },
    add: (listener) => {
      if (listener !== null && listener.port > 0) fixed.push({ address: listener.host, port: listener.port });
      all = null;
    },
  };
}

/** A Vault that is an address, not a name. */
function vaultOf({ source }: CredentialEntry): OwnListener[] {
  if (source.from !== "vault" || source.server.address.kind === "unix") return [];
  const { host, port } = source.server.address;
  return parseIp(host) === null ? [] : [{ address: host, port }];
}
