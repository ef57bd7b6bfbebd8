import { stat } from "node:fs/promises";
import type { CredentialEntry, LocalSourceSpec } from "../core/credential.ts";
import { furtherSources } from "../core/mint.ts";
import type { VaultLogin } from "../core/vault.ts";
import type { Terminal } from "./command.ts";

/**
 * What the start, or the first lease, would miss of the sources of a catalogue. The machine and the environment of the check are not
 * those of the start, but mostly they are made alike. No source is read, no helper is started.
 */
export async function sourceWarnings(credentials: readonly CredentialEntry[], terminal: Terminal): Promise<string[]> {
  const told = await Promise.all(
    credentials.flatMap(({ name, source, mint }) =>
      [source, ...(mint === null ? [] : furtherSources(mint))].map(async (one) => {
        if (one.from === "store") return null;
        const isVault = one.from === "vault";
        const { proof, isProjected } = isVault ? proofOf(one.server.login) : { proof: one, isProjected: false };
        const why = await faultOf(proof, isProjected, terminal);
        return why === null ? null : `${isVault ? `vault ${one.server.name}` : `credential ${name}`}: ${why}`;
      }),
    ),
  );
  return [...new Set(told)].filter((text) => text !== null);
}

/** @param isProjected a service account's token: custody takes it with mode 0644 */
async function faultOf(source: LocalSourceSpec, isProjected: boolean, terminal: Terminal): Promise<string | null> {
  switch (source.from) {
    case "env":
      return (terminal.env[source.variable] ?? "") === ""
        ? `${source.variable} is not set here: set it where the process starts`
        : null;
    case "file":
      return await fileFault(source.path, "chmod 0400", isProjected);
    case "exec":
      return null;
  }
}

/**
 * Of its bits only those for everybody are looked at: a check is mostly run by another user than custody is.
 * @param next how the file is closed to others
 * @returns `null` where nothing is wrong with it
 */
export async function fileFault(path: string, next: string, isProjected = false): Promise<string | null> {
  try {
    const { mode } = await stat(path);
    if ((mode & 0o007) === 0 || (isProjected && (mode & 0o022) === 0)) return null;
    const octal = (mode & 0o777).toString(8).padStart(4, "0");
    return `${path} is open to everybody (mode ${octal}), and custody would not take it: ${next}`;
  } catch (error) {
    const why = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return `${path} cannot be looked at here (${why}): put it there, or check the path`;
  }
}

function proofOf(login: VaultLogin): { readonly proof: LocalSourceSpec; readonly isProjected: boolean } {
  if (login.by === "approle") return { proof: login.secretId, isProjected: false };
  return { proof: login.token, isProjected: login.by !== "token" };
}
