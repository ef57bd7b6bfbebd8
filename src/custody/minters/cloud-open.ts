import type { CloudMint } from "../../core/mint-cloud.ts";
import type { CredentialSource } from "../sources/source.ts";
import { GithubAppMinter } from "./github-app.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minter } from "./minter.ts";

/** The minter of one cloud or registry. Loaded with the first mint: it brings the HTTP client. */
export function openCloud(mint: CloudMint, source: CredentialSource, tools: MintTools): Minter {
  switch (mint.as) {
    case "github_app":
      return new GithubAppMinter(mint, source, tools);
  }
}
