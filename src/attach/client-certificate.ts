import type { Lease } from "../core/exchange.ts";
import type { ClientIdentity } from "../core/wire.ts";
import { type AttachmentMaker, unusable } from "./attachment.ts";

/**
 * The leased certificate is presented in the upstream's TLS handshake (RFC 8446 §4.4.2): the connection is authorized, and no
 * byte of a request says anything. Takes a client certificate.
 */
export const clientCertificate: AttachmentMaker<"client_certificate"> = () => ({
  fieldNames: [],
  cut: null,
  identity(material, lease) {
    if (material.kind !== "client_certificate") throw unfit(material.kind);
    let identity = IDENTITIES.get(lease);
    if (identity === undefined) {
      const { chain, key: privateKey } = material;
      const isLive = (nowMs: number): boolean => lease.isLive(nowMs);
      identity = Object.freeze({
        key: `certificate ${++made}`,
        chain,
        privateKey,
        grantedAtMs: lease.grantedAtMs,
        isLive,
      });
      IDENTITIES.set(lease, identity);
    }
    return identity;
  },
  render(material) {
    if (material.kind !== "client_certificate") throw unfit(material.kind);
    // The key goes to OpenSSL alone, and the upstream has seen a certificate that is no secret: there is nothing to look for.
    return { values: [], apply: () => true };
  },
});

/** By the lease itself: ids are custody's, and one that gives an id twice must not make two sessions share connections. */
const IDENTITIES = new WeakMap<Lease, ClientIdentity>();
let made = 0;

function unfit(kind: string) {
  return unusable(`client_certificate takes a client certificate, custody sent ${kind}`);
}
