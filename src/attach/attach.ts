import type { Destination } from "../core/destination.ts";
import { Denial } from "../core/denial.ts";
import type { Lease, OutboundHead, Permit } from "../core/exchange.ts";
import { isZeroed } from "../core/material.ts";
import type { AttachDemands, AttachPort, Injected } from "../core/ports.ts";
import { type Attachment, type AttachTools, type Occasion, type Rendering, unusable } from "./attachment.ts";
import { attachmentsOf } from "./attachments.ts";
import { cutFields, foldName } from "./guest-fields.ts";
import { standInsOf } from "./placeholder.ts";
import { StandIns } from "./stand-ins.ts";
import { hasStrayStandIn, type Home, homeOf, NOWHERE, strayInFields } from "./stray.ts";

/**
 * The attach stage: how a lease becomes upstream authorization, one file an attachment. `cleanse` takes away what only the
 * edge may say, whether or not a credential follows; `attach` renders a lease once, remembers the rendering with it, and
 * puts it on every head that the lease serves. An outbound head is cleansed and attached once: a retry starts from a fresh one.
 *
 * A further attachment is one file here and one line in `attachments.ts`.
 */
export interface Attachments extends AttachPort {
  /** The stand-ins of the whole config; called at the start and on every policy reload. */
  setStandIns(values: Iterable<string>): void;
}

/** What is known of a destination, worked out once. A reload makes new destinations, and with them new plans. */
interface Plan {
  readonly attachments: readonly Attachment[];
  /** Folded names of the fields that never leave as the guest sent them. */
  readonly fieldNames: readonly string[];
  /** Those in which a guest puts its stand-in: in trailers they have no place, and an upstream may merge those into the head. */
  readonly spotNames: readonly string[];
  readonly cuts: readonly ((head: OutboundHead) => void)[];
  readonly home: Home;
  readonly demands: AttachDemands;
  /** Generation of the stand-ins that knows those of this destination. */
  learnedIn: number;
  readonly rendered: WeakMap<Lease, Rendered>;
}

interface Rendered {
  readonly renderings: readonly Rendering[];
  readonly injected: Injected;
}

const NO_DEMANDS: AttachDemands = Object.freeze({ body: false, identity: false, answers: false });

/** @param standIns of all destinations; `setStandIns` replaces them */
export function createAttachPort(tools: AttachTools, standIns: Iterable<string> = []): Attachments {
  const known = new StandIns();
  known.set(standIns);
  const plans = new WeakMap<Destination, Plan>();

  function planOf(destination: Destination): Plan {
    let plan = plans.get(destination);
    if (plan === undefined) {
      plan = makePlan(destination, tools);
      plans.set(destination, plan);
    }
    // An exchange may still hold a destination of the policy before the last reload.
    if (plan.learnedIn !== known.generation) {
      known.learn(standInsOf(destination));
      plan.learnedIn = known.generation;
    }
    return plan;
  }

  return {
    setStandIns: (values) => known.set(values),

    cleanse(permit, head) {
      const plan = planOf(permit.destination);
      cutFields(head.fields, plan.fieldNames);
      for (const cut of plan.cuts) cut(head);
      if (known.isEmpty || !(known.mayHold(head.fields.text) || known.mayHold(head.target))) return;
      const home = permit.needsCredential ? plan.home : NOWHERE;
      if (hasStrayStandIn(known, home, head)) throw new Denial("placeholder_stray", { cause: strayCause(permit) });
    },

    cleanseTrailers(permit, trailers) {
      const plan = planOf(permit.destination);
      cutFields(trailers, plan.fieldNames);
      if (!known.isEmpty && known.mayHold(trailers.text) && strayInFields(known, NOWHERE, trailers))
        throw new Denial("placeholder_stray", { cause: strayCause(permit) });
      cutFields(trailers, plan.spotNames);
    },

    demands: (permit) => (permit.needsCredential ? planOf(permit.destination).demands : NO_DEMANDS),

    wholeBodyBytes(permit, ask, body) {
      let most: number | null = null;
      for (const attachment of planOf(permit.destination).attachments) {
        const bytes = attachment.wholeBodyBytes?.(ask, body) ?? null;
        // Each of them has to be able to hold it.
        if (bytes !== null) most = most === null ? bytes : Math.min(most, bytes);
      }
      return most;
    },

    identity(permit, lease, nowMs) {
      const material = lease.materialFor(permit, nowMs);
      if (isZeroed(material)) throw unusable("the material was zeroed");
      for (const { identity } of planOf(permit.destination).attachments) {
        if (identity !== undefined) return identity(material, lease);
      }
      throw unusable("no attachment of the destination presents a certificate");
    },

    observe(permit, lease, answer) {
      let asked = false;
      for (const { observe } of planOf(permit.destination).attachments) {
        if (observe?.(lease, answer) === true) asked = true;
      }
      return asked;
    },

    attach(permit, lease, head, request, nowMs) {
      const material = lease.materialFor(permit, nowMs);
      if (!permit.needsCredential) throw unusable("the permit carries no credential");
      if (isZeroed(material)) throw unusable("the material was zeroed");
      const plan = planOf(permit.destination);
      let rendered = plan.rendered.get(lease);
      if (rendered === undefined) {
        rendered = render(plan.attachments.map((attachment) => attachment.render(material)));
        plan.rendered.set(lease, rendered);
      }
      const once: string[] = [];
      const occasion: Occasion = { permit, lease, request, once };
      let took = false;
      for (let i = 0; i < rendered.renderings.length; i++) {
        const taking = (rendered.renderings[i] as Rendering).apply(head, occasion);
        if (taking instanceof Promise) return applyRest(rendered, i, taking, took, head, occasion);
        took = taking || took;
      }
      return injectedBy(rendered, took, once);
    },
  };
}

/** One of them has to wait; those behind it write after it. */
async function applyRest(
  rendered: Rendered,
  at: number,
  taking: Promise<boolean>,
  took: boolean,
  head: OutboundHead,
  occasion: Occasion,
): Promise<Injected> {
  let tookAny = (await taking) || took;
  for (const rendering of rendered.renderings.slice(at + 1))
    tookAny = (await rendering.apply(head, occasion)) || tookAny;
  return injectedBy(rendered, tookAny, occasion.once);
}

function injectedBy({ injected }: Rendered, took: boolean, once: readonly string[]): Injected {
  if (!took) throw unusable("the request carries no stand-in where one is replaced, and nothing else is attached");
  return once.length === 0 ? injected : { ...injected, once };
}

function makePlan(destination: Destination, tools: AttachTools): Plan {
  const attachments = attachmentsOf(destination, tools);
  const injected = attachments.flatMap(({ fieldNames }) => fieldNames);
  const fieldNames = [...new Set([...injected, ...destination.dropHeaders].map(foldName))];
  return {
    attachments,
    fieldNames,
    spotNames: spotNames(destination).map(foldName),
    cuts: attachments.flatMap(({ cut }) => (cut === null ? [] : [cut])),
    home: homeOf(destination),
    demands: demandsOf(attachments),
    learnedIn: -1,
    rendered: new WeakMap(),
  };
}

/** Fields in which a guest puts its stand-in. */
function spotNames({ attachments }: Destination): string[] {
  return attachments.flatMap((spec) =>
    spec.as === "placeholder" ? spec.spots.flatMap((spot) => (spot.in === "header" ? [spot.name] : [])) : [],
  );
}

function demandsOf(attachments: readonly Attachment[]): AttachDemands {
  const body = attachments.some(({ wholeBodyBytes }) => wholeBodyBytes !== undefined);
  const identity = attachments.some(({ identity }) => identity !== undefined);
  const answers = attachments.some(({ observe }) => observe !== undefined);
  return body || identity || answers ? Object.freeze({ body, identity, answers }) : NO_DEMANDS;
}

function render(renderings: readonly Rendering[]): Rendered {
  const values = [...new Set(renderings.flatMap((rendering) => rendering.values))];
  values.sort((a, b) => b.length - a.length);
  const cookie = renderings.some(({ rotates }) => rotates === "cookie");
  const injected = { values: Object.freeze(values), ...(cookie && { cookieAttached: true }) };
  return { renderings, injected: Object.freeze(injected) };
}

function strayCause(permit: Permit): string {
  return permit.needsCredential
    ? "a stand-in stands where this destination replaces none"
    : "a stand-in goes to a destination that attaches no credential to this request";
}
