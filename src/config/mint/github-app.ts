import { z } from "zod";
import { endpointOf, endpointSchema } from "./endpoint.ts";
import { mintConfig } from "./mint-config.ts";

const permissionText = z
  .string()
  .regex(/^[a-z][a-z_]{0,63}:(?:read|write|admin)$/, "write a permission such as contents:read");
const repositoryText = z
  .string()
  .regex(
    /^[A-Za-z0-9._-]{1,100}$/,
    "write the name of a repository without its owner, who is that of the installation",
  );
const all = z.literal("all");

export const githubApp = mintConfig({
  schema: z
    .strictObject({
      as: z.literal("github_app"),
      api: endpointSchema
        .optional()
        .describe("Root of the REST API, such as https://github.example/api/v3; left out: that of github.com."),
      client_id: z
        .string()
        .regex(/^[A-Za-z0-9._-]{1,100}$/, "write the client id of the app, or its number in quotes")
        .describe("Client id of the app, or its number."),
      installation: z.int().min(1).describe("Number of the installation."),
      repositories: z
        .union([z.array(repositoryText).min(1).max(100), all])
        .describe(
          "Repositories that a token is good for, which a destination may narrow; or `all` of the installation.",
        ),
      permissions: z
        .union([z.array(permissionText).min(1).max(100), all])
        .describe("Permissions such as `contents:read`, which a destination may narrow; or `all` of the installation."),
    })
    .describe("An installation token of a GitHub App; the root is the app's private key, as PEM."),
  kind: () => "token",
  spec: (raw, context) => ({
    as: "github_app",
    endpoint: endpointOf(raw.api ?? { url: "https://api.github.com", timeout_ms: 5000 }, "api", context),
    clientId: raw.client_id,
    installation: String(raw.installation),
    repositories: listOrAll(raw.repositories),
    permissions: listOrAll(raw.permissions),
  }),
});

/** `null` spells "all". */
function listOrAll(raw: readonly string[] | "all"): readonly string[] | null {
  return raw === "all" ? null : Object.freeze([...new Set(raw)]);
}
