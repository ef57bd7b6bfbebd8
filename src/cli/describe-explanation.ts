import { type DenialCode, DENIALS } from "../core/denial.ts";
import { attachmentText } from "./attachment-text.ts";
import { syntheticText } from "./describe-config.ts";
import { parentJson, wayText } from "./describe-parent.ts";
import type { Explained } from "./explain.ts";
import type { SurveyedAddress } from "../policy/guard.ts";
import { table } from "./table.ts";

/** What a config does with one request, for people. */
export function describeExplanation(explained: Explained): string {
  const { method, url, listener, explanation } = explained;
  const { claims } = listener.session;
  const rows: string[][] = [
    ["session", `${claims.id} of tenant ${claims.tenant}, workspace ${claims.workspace} (listener ${listener.name})`],
    ["authority", explanation.authority],
    ["destination", destinationText(explained)],
    ...entryRows(explained),
    ...explanation.readings.map((reading, i) => [i === 0 ? "path read as" : "", reading]),
    ...(explanation.destination === null ? [] : [["way", wayText(explanation.destination)]]),
    ...addressRows(explained),
    ["credential", credentialText(explained)],
  ];
  return `${headline(explained)}: ${method} ${url}\n${table(rows)}`;
}

/** The same for programs. */
export function explanationJson(explained: Explained): object {
  const { method, url, listener, explanation, addresses } = explained;
  const { credential, destination } = explanation;
  return {
    method,
    url,
    ...verdictOf(explained),
    why: explanation.why,
    session: { listener: listener.name, ...listener.session.claims },
    authority: explanation.authority,
    destination: destination?.name ?? null,
    rule: explanation.rule,
    path: explanation.path,
    readings: explanation.readings,
    entries: explanation.entries,
    parent: destination === null || destination.parent === null ? null : parentJson(destination.parent),
    parent_addresses: explained.parentAddresses,
    addresses,
    credential: credential === null ? null : `${credential.custody}/${credential.name}`,
    attachments: explanation.attachments.map(attachmentText),
  };
}

interface Verdict {
  readonly decision: "allow" | "deny" | "report" | "tunnel";
  readonly denial: DenialCode | null;
}

/** The policy's word, unless the addresses have the last one. */
function verdictOf({ explanation, addresses, addressDenial, parentAddresses }: Explained): Verdict {
  const surveyed = [...(addresses ?? []), ...(parentAddresses ?? [])];
  const refused = addressDenial?.code ?? surveyed.find(({ denial }) => denial !== null)?.denial ?? null;
  if (refused !== null) return { decision: "deny", denial: refused };
  // Nothing inside of a tunnel is decided on, so the rules have no say.
  if (isTunnel(explanation)) return { decision: "tunnel", denial: null };
  return { decision: explanation.decision, denial: explanation.denial };
}

function isTunnel({ destination }: Explained["explanation"]): boolean {
  return destination?.tls === "passthrough";
}

function headline(explained: Explained): string {
  const { decision, denial } = verdictOf(explained);
  switch (decision) {
    case "allow":
      return "allowed";
    case "tunnel":
      return "passed through";
    case "report":
      return `let through although ${denial ?? "it would be denied"} (mode: report)`;
    case "deny":
      return `denied, ${denial === null ? "internal" : `${denial} (${DENIALS[denial].status})`}`;
  }
}

function destinationText({ explanation: { destination } }: Explained): string {
  if (destination === null) return "none names this host, port and scheme: add one to destinations";
  const { name, mode, scheme, tls, http } = destination;
  const spoken = tls === "passthrough" ? "" : `, http ${http}`;
  return `${name} (${mode}${scheme === "https" ? `, ${tls}` : ""}${spoken})`;
}

/** Each entry up to the one that allows, and why the others do not. */
function entryRows({ method, explanation }: Explained): string[][] {
  if (isTunnel(explanation))
    return [["rule", "passed through unseen once the name in the TLS hello fits; no rule and no credential applies"]];
  const rows = explanation.entries.map(({ rule, methods, paths, refusal }) => {
    const shown = paths.length > 5 ? `${paths.slice(0, 5).join(" ")} ...` : paths.join(" ");
    // RFC 9110 §9.1: a method is case-sensitive, which is seldom what was meant here.
    const isMisspelt = refusal === "method_not_allowed" && methods?.includes(method.toUpperCase()) === true;
    const hint = isMisspelt ? `, methods are case-sensitive: write ${method.toUpperCase()}` : "";
    return [rule, `${methods === null ? "*" : methods.join(",")} ${shown}: ${refusal ?? "allows it"}${hint}`];
  });
  return explanation.why === null ? rows : [...rows, ["why", explanation.why]];
}

function addressRows(explained: Explained): string[][] {
  const parents = (explained.parentAddresses ?? []).map((at, i) => [i === 0 ? "parent at" : "", addressText(at)]);
  return [...parents, ...targetRows(explained)];
}

function addressText({ address, denial, why }: SurveyedAddress): string {
  return denial === null ? address : `${address}: ${denial}${why === null ? "" : `: ${why}`}`;
}

function targetRows(explained: Explained): string[][] {
  const { addresses, addressDenial, parentAddresses } = explained;
  if (addressDenial !== null)
    return [["addresses", `${addressDenial.code}${addressDenial.detail === null ? "" : `: ${addressDenial.detail}`}`]];
  if (addresses === null && parentAddresses !== null)
    return [["addresses", "not looked up: the parent resolves the name"]];
  if (explained.explanation.destination?.synthetic) return [["addresses", "none: the edge answers itself"]];
  if (addresses === null) {
    const denied = verdictOf(explained).decision === "deny";
    return [["addresses", `not looked up${denied ? ": the request is denied" : ""}`]];
  }
  return addresses.map((at, i) => [i === 0 ? "addresses" : "", addressText(at)]);
}

function credentialText({ explanation }: Explained): string {
  const { credential, attachments, decision } = explanation;
  if (credential !== null)
    return `${credential.custody}/${credential.name}, attached as ${attachments.map(attachmentText).join(", ")}`;
  const answered = explanation.destination === null ? null : syntheticText(explanation.destination);
  if (answered !== null) return `none: ${answered}`;
  return decision === "report" ? "none is ever attached in report mode" : "none";
}
