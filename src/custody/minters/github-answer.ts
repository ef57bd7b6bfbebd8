import { Secret } from "../../core/secret.ts";
import type { IssuerAnswer } from "../outbound.ts";
import { hasMore } from "./github-permissions.ts";
import { MintFailure } from "./mint-failure.ts";

/** What a token was asked to be good for; `null` where nothing was said. */
export interface InstallationAsk {
  readonly repositories: readonly string[] | null;
  readonly permissions: ReadonlyMap<string, string> | null;
}

export interface InstallationToken {
  readonly token: Secret;
  /** Another one of the same, to revoke it with. */
  readonly copy: Secret;
  /** ms since the epoch */
  readonly expiresWallMs: number;
  /** Why it must not be leased though it was issued, or `null`. */
  readonly fault: MintFailure | null;
}

/** Both forms of 2026 fit: 40 characters, and about 520 with a JWT inside. Opaque all the same. */
const TOKEN = /^[\x21-\x7e]{1,2048}$/;

/** @throws MintFailure; nothing that GitHub wrote is quoted */
export function installationToken(answer: IssuerAnswer, ask: InstallationAsk, where: string): InstallationToken {
  const { status, json } = answer;
  if (status !== 201) throw refusalOf(answer, where);
  const unusable = (what: string): MintFailure =>
    new MintFailure(`${where} ${what}: check the URL of its api`, { isWide: true });
  if (json === null) throw unusable("answers with something that is no JSON object");
  const { token, expires_at: expiresAt } = json;
  if (typeof token !== "string" || !TOKEN.test(token)) throw unusable("answers without a token that could be used");
  const expiresWallMs = typeof expiresAt === "string" && expiresAt.length <= 40 ? Date.parse(expiresAt) : Number.NaN;
  return {
    token: Secret.of(token),
    copy: Secret.of(token),
    expiresWallMs,
    fault: Number.isNaN(expiresWallMs)
      ? unusable("answers without an expires_at that could be read")
      : tooWide(json, ask)
        ? new MintFailure(
            `${where} answers with a token for more than was asked for, which was revoked: look at the installation`,
          )
        : null,
  };
}

/** What the answer tells of the token; GitHub leaves out what it has nothing to say of. */
function tooWide(json: Readonly<Record<string, unknown>>, { repositories, permissions }: InstallationAsk): boolean {
  if (permissions !== null && hasMore(json["permissions"], permissions)) return true;
  if (repositories === null) return false;
  if (json["repository_selection"] === "all") return true;
  const listed = json["repositories"];
  if (listed === undefined || listed === null) return false;
  if (!Array.isArray(listed)) return true;
  // Names are compared as GitHub does, which knows no case.
  const asked = new Set(repositories.map((name) => name.toLowerCase()));
  return listed.some((one: unknown) => !asked.has(nameOf(one)));
}

function nameOf(repository: unknown): string {
  const name = typeof repository === "object" && repository !== null && "name" in repository ? repository.name : null;
  return typeof name === "string" ? name.toLowerCase() : "";
}

function refusalOf(answer: IssuerAnswer, where: string): MintFailure {
  const { status, header } = answer;
  const wide = (what: string): MintFailure => new MintFailure(`${where} ${what}`, { isWide: true });
  if (status === 429 || (status === 403 && (header("retry-after") !== null || header("x-ratelimit-remaining") === "0")))
    return new MintFailure(`${where} is asked too often (rate limit, ${status}): ask less, or have its limit raised`, {
      retryAfterMs: waitOf(answer),
      isWide: true,
    });
  switch (status) {
    case 401:
      return wide("refuses the app (401): check client_id and the key, and compare the clocks of both sides");
    case 403:
      return wide("refuses the installation (403): it is suspended, or the app may not be used: look at the app");
    case 404:
      return wide("knows no such installation of this app (404): check installation and client_id");
    case 422:
      return new MintFailure(
        `${where} grants less than is asked for (422): check repositories and permissions of the entry`,
      );
    default:
      return wide(`answers with status ${status}: look at GitHub's status page, or check the URL of its api`);
  }
}

/** `Retry-After`, else the time at which the limit starts anew, by GitHub's own clock. */
function waitOf({ retryAfterMs, header, serverWallMs }: IssuerAnswer): number | null {
  if (retryAfterMs !== null) return retryAfterMs;
  const reset = header("x-ratelimit-reset");
  if (reset === null || serverWallMs === null || !/^\d{1,11}$/.test(reset)) return null;
  return Math.max(0, Number(reset) * 1000 - serverWallMs);
}
