import { z } from "zod";
import { isIssuedKey } from "./secret-look.ts";

/** The small texts and figures that the schemas are made of. Every message ends in what to write. */

/** Said of a key that stands where everybody may read it. */
export const NO_KEY =
  "looks like a key, and names are logged: write a plain name, put the key where `source` says, and think of a new key";

const PLAIN_NAME = "write 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first";

/** Names go into metric labels, audit records and references: short and plain. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export const nameText = z
  .string()
  .regex(NAME, { message: PLAIN_NAME, abort: true })
  .refine((text) => !isIssuedKey(text), NO_KEY);

/** The name of a parent that stands elsewhere. */
export const parentName = z
  .string('write the name of one of `upstream.parents`, or "direct"')
  .regex(NAME, { message: PLAIN_NAME, abort: true })
  .refine((text) => !isIssuedKey(text), NO_KEY);

/** Values of session claims: they go into logs and lease scopes, so no control characters and no blanks at the ends. */
export const claimText = z
  .string()
  .regex(/^[!-~](?:[ -~]{0,126}[!-~])?$/, "write 1 to 128 printable ASCII characters, no blank at either end");

export const pathText = z
  .string("write the path of a file")
  .min(1)
  .max(4096)
  .regex(/^[^\0]*$/, "write a path without NUL");

/** A text that a later step takes apart, with an upper bound so that no message or matcher meets a monster. */
export const boundedText = (max: number): z.ZodString => z.string().min(1).max(max);

/** A whole number with its bounds and default in one place; the unit is in the key. */
export function whole(min: number, max: number, fallback: number, text: string) {
  return z.int().min(min).max(max).default(fallback).describe(text);
}

/** An address to listen on. */
export const addressText = boundedText(300);
