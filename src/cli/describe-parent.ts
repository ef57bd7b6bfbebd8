import type { Destination, UpstreamParent } from "../core/destination.ts";
import { attachmentText } from "./attachment-text.ts";
import { credentialText } from "./credential-text.ts";

/** How connections of a destination get to it, for people. */
export function wayText(destination: Destination): string {
  const { parent } = destination;
  if (parent === null) return "direct";
  return `through parent ${parent.name} at ${parentText(parent)}`;
}

/** Where a parent is, what its CONNECT names and what it knows the edge by. */
export function parentText({
  address,
  connectBy,
  destination: { scheme, credential, attachments },
}: UpstreamParent): string {
  const known =
    credential === null
      ? "without a credential"
      : `with ${credentialText(credential)} as ${attachments.map(attachmentText).join(", ")}`;
  return `${address}${scheme === "https" ? " over TLS" : ""}, CONNECT by ${connectBy}, ${known}`;
}

/** The same for programs. */
export function parentJson(parent: UpstreamParent): object {
  const { name, address, connectBy, serverName, destination } = parent;
  const { scheme, credential, attachments } = destination;
  return {
    name,
    address,
    tls: scheme === "https",
    server_name: scheme === "https" ? serverName : null,
    connect_by: connectBy,
    credential: credential === null ? null : `${credential.custody}/${credential.name}`,
    narrow: credential?.narrow ?? null,
    attachments: attachments.map(attachmentText),
  };
}
