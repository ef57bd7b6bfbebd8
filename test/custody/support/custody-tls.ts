import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCa, type TestCa, type TestLeaf } from "../../house/support/certificates.ts";
import type { RemoteTls } from "../../../src/custody/remote.ts";

/** Certificates of one custody and its edges: a CA, a server, a known edge, and strangers. */
export interface CustodyTls {
  readonly directory: string;
  readonly ca: TestCa;
  readonly server: TestLeaf;
  readonly edge: TestLeaf;
  /** An edge of the right CA whose name custody does not know. */
  readonly unknownEdge: TestLeaf;
  readonly otherCa: TestCa;
  /** Right name, wrong CA. */
  readonly forgedServer: TestLeaf;
  readonly forgedEdge: TestLeaf;
  /** What the edge brings along. */
  readonly client: RemoteTls;
  remove(): Promise<void>;
}

export async function makeCustodyTls(): Promise<CustodyTls> {
  const directory = await mkdtemp(join(tmpdir(), "postern-custody-"));
  const ca = await makeCa(join(directory, "ca"), "Custody test CA");
  const otherCa = await makeCa(join(directory, "other"), "Another CA");
  const server = await ca.issue(["custody.internal"], { extendedKeyUsage: "serverAuth" });
  const edge = await ca.issue(["edge-1.internal"], { extendedKeyUsage: "clientAuth" });
  return {
    directory,
    ca,
    server,
    edge,
    unknownEdge: await ca.issue(["edge-9.internal"], { extendedKeyUsage: "clientAuth" }),
    otherCa,
    forgedServer: await otherCa.issue(["custody.internal"]),
    forgedEdge: await otherCa.issue(["edge-1.internal"]),
    client: { ca: ca.certificate, certificate: edge.certificate, key: edge.key, serverName: "custody.internal" },
    remove: () => rm(directory, { recursive: true, force: true }),
  };
}
