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
  }
}
