import { camelKeys } from "./camel.ts";
import type { CustodyConfig } from "./config.ts";
import { type CatalogueConfig, catalogueConfig } from "./catalogue.ts";
import { custodyFileSchema, type RawCustodyFile } from "./custody-schema.ts";
import type { FileSet } from "./file-set.ts";
import { findingsOf } from "./issues.ts";
import { isLocal, parseListenAddress } from "./listen-address.ts";
import { mixedUp } from "./mixed-up.ts";
import { mustBeItsOwn, rotatedFiles, sourceFiles, storeFiles } from "./own-files.ts";
import type { Taken } from "./postern.ts";
import { quoted } from "./problem.ts";
import { independent, pruned } from "./prune.ts";
import { Report } from "./report.ts";
import { VaultBook } from "./vault.ts";

/** The config of a custody process from the plain value of its file; as `posternConfig`. */
export function custodyConfig(value: unknown, files: FileSet): Taken<CustodyConfig> {
  const parsed = custodyFileSchema.safeParse(value);
  const report = new Report();
  if (!parsed.success) {
    const mistaken = mixedUp(value, "custody");
    if (mistaken !== null) return { config: null, findings: mistaken };
    const shape = findingsOf(custodyFileSchema, value, parsed.error.issues);
    const sound = pruned(custodyFileSchema, value);
    if (sound !== null) assemble(sound, files, report);
    return { config: null, findings: [...shape, ...independent(report.findings, shape)] };
  }
  const config = assemble(parsed.data, files, report);
  return { config: report.findings.length === 0 ? config : null, findings: report.findings };
}

function assemble(raw: RawCustodyFile, files: FileSet, report: Report): CustodyConfig | null {
  const { tls } = raw.listen;
  const vaults = new VaultBook(new Map(Object.entries(raw.vaults)), ["vaults"], files, report);
  const catalogue = catalogueConfig(raw.credentials, raw, [], { files, vaults }, report);
  const address = report.take(["listen", "address"], parseListenAddress(raw.listen.address, files.baseDir));
  clientFaults(raw, report);
  const operators = operatorsOf(raw, files, report);
  ownFileFaults(raw, catalogue, files, report);
  if (raw.state !== undefined && files.absolute(raw.state) === files.absolute(raw.audit.file))
    report.add(["state"], "the audit file is another one: name a file of its own, or leave it out");
  if (address?.kind === "tcp" && tls === undefined) {
    const advice = isLocal(address) ? ", or listen on a unix socket" : "";
    report.add(
      ["listen", "tls"],
      `missing: leases cross the network: write tls: { certificate: ..., key: ..., client_ca: ... }${advice}`,
      true,
    );
  }
  if (tls !== undefined && raw.clients.length === 0)
    report.add(["clients"], "missing: nobody could ask: name the edges by the names in their certificates", true);
  if (tls === undefined && raw.clients.length > 0 && address?.kind === "unix")
    report.add(
      ["clients"],
      "without `listen.tls` nobody can prove to be one of them: the socket's file mode decides: leave it out",
      true,
    );
  if (address === null) return null;
  return Object.freeze({
    listen: Object.freeze({
      address,
      tls:
        tls === undefined
          ? null
          : Object.freeze({
              certificate: files.depend(tls.certificate),
              key: files.depend(tls.key),
              clientCa: files.depend(tls.client_ca),
            }),
    }),
    clients: Object.freeze(
      raw.clients.map(({ name, tenants, may }) =>
        Object.freeze({
          name,
          tenants: tenants === undefined ? null : Object.freeze(tenants),
          may: Object.freeze(may),
        }),
      ),
    ),
    operators,
    limits: camelKeys(raw.limits),
    state: raw.state === undefined ? stateBeside(files.absolute(raw.audit.file)) : files.absolute(raw.state),
    ...catalogue,
    audit: camelKeys({ ...raw.audit, file: files.absolute(raw.audit.file) }),
    log: camelKeys(raw.log),
  });
}

function ownFileFaults(
  raw: RawCustodyFile,
  { credentials, store }: CatalogueConfig,
  files: FileSet,
  report: Report,
): void {
  const audit = files.absolute(raw.audit.file);
  const others = [...storeFiles(store), ...rotatedFiles(credentials), ...sourceFiles(credentials)];
  const state =
    raw.state === undefined
      ? { file: stateBeside(audit), path: ["audit", "file"] }
      : { file: files.absolute(raw.state), path: ["state"] };
  mustBeItsOwn([{ file: audit, path: ["audit", "file"] }, state], others, report);
}

/** One directory that custody writes to is enough. */
function stateBeside(auditFile: string): string {
  return `${auditFile.replace(/\.jsonl$/, "")}.state`;
}

function operatorsOf(
  { operators, ...raw }: RawCustodyFile,
  files: FileSet,
  report: Report,
): CustodyConfig["operators"] {
  const approved = raw.credentials.findIndex(({ approval }) => approval !== undefined);
  const mayOperate = operators !== undefined || raw.clients.some(({ may }) => may.includes("operate"));
  if (approved >= 0 && !mayOperate)
    report.add(
      ["operators"],
      `missing: nobody could approve credentials[${approved}]: write operators: { address: unix:... }`,
      true,
    );
  if (operators === undefined) return null;
  const path = ["operators", "address"];
  const address = report.take(path, parseListenAddress(operators.address, files.baseDir));
  if (address === null) return null;
  if (address.kind !== "unix") {
    report.add(path, "operators come by a unix socket: write unix:/path, or let clients of `listen` operate");
    return null;
  }
  if (operators.address === raw.listen.address)
    report.add(path, "edges listen here: write a socket of its own, or every edge could operate");
  const mode = Number.parseInt(operators.mode, 8);
  if ((mode & 0o007) !== 0)
    report.add(["operators", "mode"], `${quoted(operators.mode)}: everybody could operate: write "0600" or "0660"`);
  return Object.freeze({ path: address.path, mode });
}

function clientFaults(raw: RawCustodyFile, report: Report): void {
  const seen = new Set<string>();
  for (const [i, { name, tenants, may }] of raw.clients.entries()) {
    if (tenants !== undefined && may.includes("operate"))
      report.add(
        ["clients", i, "tenants"],
        "who operates does so for every tenant: leave it out, or leave `operate` out",
        true,
      );
    if (seen.has(name))
      report.add(["clients", i, "name"], `${quoted(name)}: another client has this name: put the tenants into one`);
    seen.add(name);
  }
}
