import { type AuditTrail } from "../../audit/trail.ts";
import { issueAudit } from "../../audit/privileged.ts";
import type { CustodyBinding, RemoteTlsFiles } from "../../config/config.ts";
import type { CustodyPort } from "../../core/custody.ts";
import { Catalogue, filesOf } from "../../custody/catalogue.ts";
import { EmbeddedCustody } from "../../custody/embedded.ts";
import { FileWatch } from "../../custody/file-watch.ts";
import { Issuer } from "../../custody/issuer.ts";
import type { RemoteCustody, RemoteTls } from "../../custody/remote.ts";
import { readKeyFile, readPemFile } from "../pem-files.ts";
import type { EdgeSystem } from "./system.ts";

/** Makes the custodies of a config and closes those of the config before it. */
export class Custodies {
  readonly #system: EdgeSystem;
  readonly #audit: AuditTrail;
  readonly #warn: (text: string) => void;
  readonly #salt: Buffer;
  readonly #files: FileWatch;
  #open: (EmbeddedCustody | RemoteCustody)[] = [];

  constructor(system: EdgeSystem, audit: AuditTrail, warn: (text: string) => void) {
    this.#system = system;
    this.#audit = audit;
    this.#warn = warn;
    this.#salt = system.randomBytes(32);
    this.#files = new FileWatch({
      onChange: (path) => warn(`file "${path}" has changed: its leases are asked for anew`),
    });
  }

  /** @returns the custodies by name; those opened before stay open until `retire` is called with them */
  async open(bindings: readonly CustodyBinding[]): Promise<ReadonlyMap<string, CustodyPort>> {
    const made = await Promise.all(bindings.map(async (binding) => [binding.name, await this.#make(binding)] as const));
    this.#open.push(...made.map(([, custody]) => custody));
    this.#files.follow(
      bindings.flatMap((binding) => (binding.kind === "embedded" ? filesOf(binding.credentials) : [])),
    );
    return new Map(made);
  }

  /** Closes every custody that is not among `kept`. */
  retire(kept: ReadonlyMap<string, CustodyPort>): void {
    const keep = new Set<CustodyPort>(kept.values());
    for (const custody of this.#open) if (!keep.has(custody)) void custody.close();
    this.#open = this.#open.filter((custody) => keep.has(custody));
  }

  close(): void {
    this.#files.close();
    this.retire(new Map());
  }

  async #make(binding: CustodyBinding): Promise<EmbeddedCustody | RemoteCustody> {
    if (binding.kind === "remote") {
      const { address, tls, timeoutMs } = binding;
      // Its HTTP client and its schemas are of no use to an edge with embedded custody (docs/decisions/0013).
      const { RemoteCustody } = await import("../../custody/remote.ts");
      return new RemoteCustody({ address, tls: tls === null ? null : readTls(tls), timeoutMs });
    }
    const { clock, environment, uid, randomBytes } = this.#system;
    return new EmbeddedCustody(
      new Issuer({
        catalogue: Catalogue.open(binding.credentials, { clock, environment, uid, warn: this.#warn, randomBytes }),
        audit: issueAudit(this.#audit),
        clock,
        newId: () => randomBytes(16).toString("hex"),
        salt: this.#salt,
        warn: this.#warn,
      }),
      () => String(this.#files.revision),
    );
  }
}

function readTls({ ca, certificate, key, serverName }: RemoteTlsFiles): RemoteTls {
  return {
    ca: readPemFile(ca),
    certificate: readPemFile(certificate),
    key: readKeyFile(key),
    serverName,
  };
}
