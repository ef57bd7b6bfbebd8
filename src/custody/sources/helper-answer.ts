import { parsedJson } from "../../core/json-text.ts";
import { z } from "zod";
import type { Clock } from "../../core/clock.ts";
import { Secret } from "../../core/secret.ts";
import { type RootShape, SourceError, type SourceReading } from "./source.ts";
import { latestWallMs } from "../latest-wall.ts";

const text = z.string().min(1);
const expiry = {
  /** Seconds from now. */
  expires_in_s: z.number().positive().max(31_536_000).optional(),
  /** RFC 3339 time, or seconds since the epoch. */
  expires_at: z.union([z.iso.datetime({ offset: true }), z.number().positive()]).optional(),
};

interface Answer {
  readonly secret: string;
  readonly username?: string | undefined;
  readonly expires_in_s?: number | undefined;
  readonly expires_at?: string | number | undefined;
}

const ANSWERS = {
  token: z
    .strictObject({ token: text, ...expiry })
    .transform(({ token, ...rest }): Answer => ({ secret: token, ...rest })),
  userpass: z
    .strictObject({ username: text.optional(), password: text, ...expiry })
    .transform(({ password, ...rest }): Answer => ({ secret: password, ...rest })),
  header: z
    .strictObject({ value: text, ...expiry })
    .transform(({ value, ...rest }): Answer => ({ secret: value, ...rest })),
};

const SHAPES: Record<RootShape, string> = {
  token: '{"token": "..."}',
  userpass: '{"username": "...", "password": "..."}',
  header: '{"value": "..."}',
};

/**
 * What an exec helper printed: one JSON object, with the life of the credential if it has one.
 * @param where names the helper in errors
 * @throws SourceError; its text holds nothing of the output, because a JSON error would quote it
 */
export function readHelperAnswer(output: string, kind: RootShape, where: string, clock: Clock): SourceReading {
  const parsed = ANSWERS[kind].safeParse(parsedJson(output));
  if (!parsed.success) {
    const at = parsed.error.issues[0]?.path.join(".") ?? "";
    const place = at === "" ? "" : ` (wrong at "${at}")`;
    throw new SourceError(
      `${where} printed no credential${place}: print one JSON object ${SHAPES[kind]}, optionally with expires_in_s or expires_at`,
    );
  }
  const answer = parsed.data;
  const expiresInMs = lifeMs(answer.expires_in_s, answer.expires_at, clock);
  if (expiresInMs !== null && expiresInMs <= 0) throw new SourceError(`${where} printed a credential that has expired`);
  return {
    username: answer.username ?? null,
    secret: Secret.of(answer.secret),
    expiresAtMs: expiresInMs === null ? null : clock.monotonicMs() + expiresInMs,
  };
}

/** The shorter of both when both are told. */
function lifeMs(inS: number | undefined, at: string | number | undefined, clock: Clock): number | null {
  const lives: number[] = [];
  if (inS !== undefined) lives.push(inS * 1000);
  if (at !== undefined) lives.push((typeof at === "number" ? at * 1000 : Date.parse(at)) - latestWallMs(clock));
  return lives.length === 0 ? null : Math.min(...lives);
}
