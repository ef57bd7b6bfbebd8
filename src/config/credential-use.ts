import { type CredentialEntry, hostsCover } from "../core/credential.ts";
import type { Destination } from "../core/destination.ts";
import { type Path, quoted } from "./problem.ts";
import type { Report } from "./report.ts";

/** What is said of the credential at a place that it goes to, a destination or a parent. */
export type CredentialUse = Pick<Destination, "credential" | "attachments">;

const NO_CREDENTIAL: CredentialUse = { credential: null, attachments: Object.freeze([]) };

/** A place without a credential, where nothing may be said about one. */
export function withoutCredential(
  raw: { readonly attach?: unknown; readonly narrow?: unknown; readonly plain_http_credential?: unknown },
  path: Path,
  report: Report,
): CredentialUse {
  if (raw.attach !== undefined)
    report.add([...path, "attach"], "nothing to attach: write `credential:` as well, or leave it out", true);
  if (raw.narrow !== undefined) report.add([...path, "narrow"], "there is no credential to narrow: leave it out", true);
  if (raw.plain_http_credential !== undefined)
    report.add([...path, "plain_http_credential"], "there is no credential to accept it for: leave it out", true);
  return NO_CREDENTIAL;
}

/**
 * What a lease may be asked for must be what the catalogue gives it for, or every exchange would be refused.
 * @param wanted `host:port` as `hosts:` of a credential spells it
 */
export function mustBeIssuedFor(entry: CredentialEntry, wanted: string, path: Path, report: Report): void {
  if (hostsCover(entry.hosts, wanted)) return;
  report.add(path, `credential ${quoted(entry.name)} is not issued for ${wanted}: add ${quoted(wanted)} to its hosts`);
}
