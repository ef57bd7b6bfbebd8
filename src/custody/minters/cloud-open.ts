import type { CloudMint } from "../../core/mint-cloud.ts";
import type { CredentialEntry } from "../../core/credential.ts";
import type { CredentialSource } from "../sources/source.ts";
import { AwsStsMinter } from "./aws-sts.ts";
import { AzureMinter } from "./azure.ts";
import { GcpServiceAccountMinter } from "./gcp-service-account.ts";
import { GithubAppMinter } from "./github-app.ts";
import type { MintTools } from "./mint-tools.ts";
import type { Minter } from "./minter.ts";
import { RegistryTokenMinter } from "./registry-token.ts";

/** The minter of one cloud or registry. Loaded with the first mint: it brings the HTTP client. */
export function openCloud(mint: CloudMint, entry: CredentialEntry, source: CredentialSource, tools: MintTools): Minter {
  switch (mint.as) {
    case "github_app":
      return new GithubAppMinter(mint, source, tools);
    case "aws_sts_assume_role":
    case "aws_sts_web_identity":
      return new AwsStsMinter(mint, entry, source, tools);
    case "gcp_service_account":
      return new GcpServiceAccountMinter(mint, source, tools);
    case "azure_client_credentials":
      return new AzureMinter(mint, entry.name, source, tools);
    case "registry_token":
      return new RegistryTokenMinter(mint, source, tools);
  }
}
