import { z } from "zod";
import { boundedText } from "../primitives.ts";
import { endpointOf, endpointSchema } from "./endpoint.ts";
import { mintConfig } from "./mint-config.ts";

/** As the distribution specification has it: components of small letters and digits, and separators between them. */
const repositoryText = z
  .string()
  .max(255)
  .regex(
    /^[a-z0-9._-]+(?:\/[a-z0-9._-]+)*$/,
    "write the name of a repository, such as library/alpine, without host and tag",
  );

export const registryTokenConfig = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("registry_token"),
      token_endpoint: endpointSchema.describe(
        "The registry's token server, which it calls `realm` in its challenge, such as https://auth.docker.io/token.",
      ),
      service: boundedText(255).describe(
        "What the registry calls `service` in its challenge, such as registry.docker.io.",
      ),
      username: z
        .string()
        .regex(/^[!-9;-~][ -9;-~]{0,254}$/, "write up to 255 printable ASCII characters without a colon")
        .describe("User whose password or access token the root is."),
      repositories: z
        .array(repositoryText)
        .min(1)
        .max(100)
        .describe("Repositories that a token is good for, which a destination may narrow."),
      actions: z
        .array(z.enum(["pull", "push", "delete"]))
        .min(1)
        .default(["pull"])
        .describe("What may be done with them, which a destination may narrow."),
    })
    .describe("A token of a container registry; the root is the password or the access token of a user."),
  kind: () => "token",
  spec: (raw, context) => ({
    as: "registry_token",
    endpoint: endpointOf(raw.token_endpoint, "token_endpoint", context),
    service: raw.service,
    username: raw.username,
    repositories: Object.freeze([...new Set(raw.repositories)]),
    actions: Object.freeze([...new Set(raw.actions)]),
  }),
});
