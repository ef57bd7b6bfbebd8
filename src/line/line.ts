import type { ByteBudget } from "../core/byte-budget.ts";
import type { Clock } from "../core/clock.ts";
import type {
  AccountPort,
  AddressPort,
  AttachPort,
  GuardPort,
  LeasePort,
  PolicyPort,
  SessionPort,
  SyntheticPort,
} from "../core/ports.ts";
import type { UpstreamPort } from "../core/wire.ts";

/**
 * Everything that one exchange meets on its way, joined once by the composition root. The line imports `core/` only: what
 * stands behind a port is none of its business.
 */
export interface Line {
  readonly clock: Clock;
  readonly sessions: SessionPort;
  readonly policy: PolicyPort;
  readonly addresses: AddressPort;
  readonly leases: LeasePort;
  readonly attach: AttachPort;
  readonly synthetic: SyntheticPort;
  readonly guard: GuardPort;
  readonly upstream: UpstreamPort;
  readonly account: AccountPort;
  /** Request bodies that are held whole. */
  readonly heldBodies: ByteBudget;
}
