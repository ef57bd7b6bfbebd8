import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LoadJob } from "../load/jobs.ts";
import type { UpstreamCounts } from "../upstream/counts.ts";
import type { UpstreamJob } from "../upstream/main.ts";
import type { UpstreamPorts } from "../upstream/ports.ts";
import { Worker } from "../wire/worker.ts";
import { type Certificates, makeCertificates } from "./certificates.ts";

/** Which CPU cores the two sides are bound to; `null` where the machine has one only. */
export interface Cores {
  readonly proxy: number | null;
  readonly load: number | null;
}

/** What all contenders of one run share: temp folder, certificates, upstream, load generator. */
export class Stage {
  readonly folder: string;
  readonly cores: Cores;
  readonly certificates: Certificates;
  readonly upstream: UpstreamPorts;
  readonly upstreamPid: number;
  readonly #upstream: Worker;
  readonly #load: Worker;
  readonly #keepFiles: boolean;

  private constructor(folder: string, keepFiles: boolean, cores: Cores, certificates: Certificates, workers: Workers) {
    const { upstream, load } = workers;
    this.folder = folder;
    this.#keepFiles = keepFiles;
    this.cores = cores;
    this.certificates = certificates;
    this.upstream = upstream.ports;
    this.upstreamPid = upstream.worker.pid;
    this.#upstream = upstream.worker;
    this.#load = load;
  }

  static async open(cores: Cores, keepFiles: boolean): Promise<Stage> {
    const folder = mkdtempSync(join(tmpdir(), "postern-bench-"));
    // Squid drops to a user of its own and has to get at its files below.
    chmodSync(folder, 0o711);
    const certificates = makeCertificates(join(folder, "certificates"));
    const worker = (name: string): Worker =>
      new Worker(name, {
        command: [process.execPath, join(import.meta.dirname, "..", name, "main.ts")],
        core: cores.load,
        logFile: join(folder, `${name}.log`),
      });
    const upstream = worker("upstream");
    const load = worker("load");
    const listen: UpstreamJob = { kind: "listen", key: certificates.upstreamKey, certificate: certificates.upstream };
    const ports = (await upstream.call(listen, 10_000)) as UpstreamPorts;
    return new Stage(folder, keepFiles, cores, certificates, { upstream: { worker: upstream, ports }, load });
  }

  /**
   * Runs one job of the load generator and asks the upstream what it saw.
   * @throws Error when the job fails, or a request reached the upstream without the injected credential
   */
  async run<Result>(job: LoadJob, deadlineMs: number): Promise<Result> {
    const before = await this.upstreamCounts();
    const result = (await this.#load.call(job, deadlineMs)) as Result;
    const { uninjected } = await this.upstreamCounts();
    if (uninjected > before.uninjected)
      throw new Error(`${uninjected - before.uninjected} requests reached the upstream without the credential`);
    return result;
  }

  async close(): Promise<void> {
    await Promise.all([this.#load.stop(), this.#upstream.stop()]);
    if (!this.#keepFiles) rmSync(this.folder, { recursive: true, force: true });
  }

  async upstreamCounts(): Promise<UpstreamCounts> {
    return (await this.#upstream.call({ kind: "counts" } satisfies UpstreamJob, 10_000)) as UpstreamCounts;
  }
}

interface Workers {
  readonly upstream: { readonly worker: Worker; readonly ports: UpstreamPorts };
  readonly load: Worker;
}
