import type { IssuerAnswer } from "../outbound.ts";
import { MintFailure } from "./mint-failure.ts";

/** Codes that Entra refuses an application with, each with what an operator does about it, and whether every lease would hear it. */
const CODES: Readonly<Record<number, { readonly advice: string; readonly isWide: boolean }>> = {
  90002: { advice: "there is no such tenant: check tenant", isWide: true },
  700016: { advice: "the tenant knows no such application: check client_id and tenant", isWide: true },
  7000215: { advice: "the client secret is wrong: put its value there, not its id", isWide: true },
  7000222: { advice: "the client secret has expired: put a new one in its place", isWide: true },
  7000216: { advice: "a secret or an assertion is missing: check proof", isWide: true },
  700027: {
    advice: "the certificate is not one of the application: add it there, or compare the clocks",
    isWide: true,
  },
  700024: { advice: "the assertion is not valid at this time: compare the clocks of both sides", isWide: true },
  7000229: { advice: "the application has no service principal in this tenant: make one", isWide: true },
  700211: { advice: "no federated credential has this issuer: add one to the application", isWide: true },
  700212: { advice: "no federated credential has this audience: add one to the application", isWide: true },
  700213: { advice: "no federated credential has this subject: add one to the application", isWide: true },
  53003: { advice: "a policy of conditional access stands against it: look at the sign-in log", isWide: true },
  500011: { advice: "the tenant knows no such resource: check scopes", isWide: false },
  501051: { advice: "the application is not assigned to a role of the resource: assign one", isWide: false },
  70011: { advice: "the scope is none: write one that ends in /.default", isWide: false },
  1002012: { advice: "the scope is none: write one that ends in /.default", isWide: false },
  50196: { advice: "the application asks too often for the same: look for who does", isWide: true },
};

/** @returns `null` when the answer is no refusal, or one that says no code */
export function azureRefusal({ status, json, retryAfterMs }: IssuerAnswer, where: string): MintFailure | null {
  if (status === 200 || status === 429 || status >= 500) return null;
  const code = codeOf(json?.["error_codes"]);
  if (code === null) return null;
  const known = Object.hasOwn(CODES, code) ? CODES[code] : undefined;
  const advice = known?.advice ?? "look it up in the sign-in log of the tenant";
  return new MintFailure(`${where} refuses (AADSTS${code}): ${advice}`, {
    retryAfterMs,
    isWide: known?.isWide ?? true,
  });
}

/** A number of at most eight digits is a code and nothing that could hold a secret. */
function codeOf(codes: unknown): number | null {
  const code: unknown = Array.isArray(codes) ? codes[0] : null;
  return typeof code === "number" && Number.isInteger(code) && code > 0 && code < 100_000_000 ? code : null;
}
