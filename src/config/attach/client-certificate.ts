import { z } from "zod";
import { attachConfig } from "./attach-config.ts";

export const clientCertificate = attachConfig({
  schema: z
    .strictObject({ as: z.literal("client_certificate") })
    .describe("The certificate is presented in the upstream's TLS handshake."),
  spec: () => ({ as: "client_certificate" }),
  fit(_spec, entry, needs) {
    if (entry.kind !== "client_certificate")
      needs("needs a certificate with its key: write another `as:` or `kind: client_certificate`");
  },
  places: () => [],
  alone: "the connection is authorized, and its credential holds nothing that a request could carry",
});
