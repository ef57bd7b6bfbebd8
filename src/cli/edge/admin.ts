import { type Admin, startAdmin } from "../../admin/admin.ts";
import {
  auditCheck,
  caCheck,
  type CustodyFacts,
  custodyCheck,
  drainingCheck,
  policyCheck,
} from "../../admin/checks.ts";
import type { AuditTrail } from "../../audit/trail.ts";
import type { PosternConfig } from "../../config/config.ts";
import type { Clock } from "../../core/clock.ts";
import type { LeaseKeeper } from "../../custody/keeper.ts";
import type { PolicyHolder } from "../../policy/holder.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import type { CertificateAuthority } from "../../tls/certificate-authority.ts";

/** What the admin listener tells of. */
export interface AdminParts {
  readonly metrics: Metrics;
  readonly keeper: LeaseKeeper;
  readonly holder: PolicyHolder;
  readonly audit: AuditTrail;
  readonly ca: CertificateAuthority | null;
  readonly clock: Clock;
  readonly isDraining: () => boolean;
  readonly onError: (error: unknown) => void;
}

/** Opens the admin listener, if the config asks for one. */
export async function openAdmin(config: PosternConfig, parts: AdminParts): Promise<Admin | null> {
  if (config.admin === null) return null;
  const { metrics, keeper, holder, audit, ca, clock, isDraining, onError } = parts;
  const custodyFacts = (name: string): CustodyFacts =>
    keeper.state().find(({ custody }) => custody === name) ?? { up: false, problem: null };
  return startAdmin({
    address: config.admin.address,
    metrics,
    checks: [
      drainingCheck(isDraining),
      policyCheck(() => holder.state, clock),
      auditCheck(() => audit.health()),
      caCheck(() => ca?.notAfterMs ?? null, clock),
      ...config.custodies.map(({ name }) => custodyCheck(name, () => custodyFacts(name))),
    ],
    onError,
  });
}
