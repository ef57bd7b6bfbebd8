import { Authority } from "../../../src/core/authority.ts";
import type { LeaseGrant, LeaseRequest } from "../../../src/core/custody.ts";
import type { Destination } from "../../../src/core/destination.ts";
import { Permit, Session } from "../../../src/core/exchange.ts";
import type { MethodClass } from "../../../src/core/method-class.ts";
import { Secret } from "../../../src/core/secret.ts";

export interface PermitChoice {
  readonly tenant?: string;
  readonly session?: Session | string;
  readonly authority?: string;
  readonly destination?: Destination;
  readonly custody?: string;
  readonly credential?: string;
  readonly methodClass?: MethodClass;
}

export function sessionOf(id = "s1", tenant = "acme"): Session {
  return Session.prove({ id, tenant, workspace: "w", subject: "agent", roles: [] });
}

export function destinationOf(name = "api", credential = "key", custody = "main"): Destination {
  return Object.freeze<Destination>({
    name,
    scheme: "https",
    tls: "inspect",
    http: "auto",
    mode: "enforce",
    credential: { custody, name: credential },
    attachments: [{ as: "bearer" }],
    dropHeaders: [],
    addresses: [],
    trust: null,
    synthetic: null,
    parent: null,
  });
}

export function permitOf(choice: PermitChoice = {}): Permit {
  const session =
    choice.session instanceof Session ? choice.session : sessionOf(choice.session ?? "s1", choice.tenant ?? "acme");
  const authority = Authority.parse(choice.authority ?? "api.example.com:443", null);
  if (authority === null) throw new Error("test authority is malformed");
  const destination = choice.destination ?? destinationOf("api", choice.credential ?? "key", choice.custody ?? "main");
  return Permit.grant(session, authority, destination, "allow[0]", null, choice.methodClass ?? "read");
}

export function requestOf(change: Partial<LeaseRequest> = {}): LeaseRequest {
  return {
    session: { id: "s1", tenant: "acme", workspace: "w", subject: "agent" },
    credential: "key",
    host: "api.example.com",
    port: 443,
    destination: "api",
    purpose: "request",
    methodClass: "read",
    ...change,
  };
}

let granted = 0;

/** What an honest custody would answer. */
export function grantOf(request: LeaseRequest, change: Partial<LeaseGrant> = {}): LeaseGrant {
  granted++;
  return {
    leaseId: `lease-${granted}`,
    credential: request.credential,
    material: { kind: "token", token: Secret.of(`tok-${granted}`) },
    ttlMs: 900_000,
    maxUses: null,
    scope: { tenant: request.session.tenant, session: request.session.id, host: request.host, port: request.port },
    resourceRef: "0011223344556677",
    binding: null,
    ...change,
  };
}
