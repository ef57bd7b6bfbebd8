import type { AttachmentSpec } from "../core/destination.ts";

/** How a credential is attached, with the name that it is attached under. */
export function attachmentText(spec: AttachmentSpec): string {
  switch (spec.as) {
    case "bearer":
    case "client_certificate":
    case "dpop":
      return spec.as;
    case "basic":
      return spec.username === null ? "basic" : `basic (${spec.username})`;
    case "header":
    case "query":
    case "cookie":
      return `${spec.as} ${spec.name}`;
    case "placeholder":
      return `placeholder in ${spec.spots.map((spot) => `${spot.in} ${spot.name}`).join(", ")}`;
    case "hmac":
      return `hmac-${spec.hash} in ${spec.fields.map(({ name }) => name.toLowerCase()).join(", ")}`;
    case "body":
      return `body ${spec.place.in === "json" ? spec.place.pointer.map((token) => `/${token}`).join("") : spec.place.name}`;
    case "message_signature":
      return `message_signature (${spec.algorithm})`;
    case "sigv4":
      return `sigv4 ${spec.region}/${spec.service}`;
  }
}
