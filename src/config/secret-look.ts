/**
 * What a credential looks like that was pasted into the wrong place of a config. Problems of a config go to terminals, CI logs,
 * the audit and `/readyz`, so no text of a file is repeated there before it went through `masked`. This is a guess: it takes
 * many a harmless identifier for a secret (a problem tells line and column anyway), and a short password for none.
 */
export const MASKED = "[masked: looks like a secret]";

/** Prefixes by which issuers mark their keys, for scanners like this one. */
const ISSUED =
  /^(?:[spr]k[-_]|gh[oprsu]_|github_pat_|glpat-|xox[abeoprs]-|xapp-|hf_|npm_|pypi-|dop_v1_|shp(?:at|ca|pa|ss)_|hv[bsr]\.|AIza|ya29\.|eyJ|SG\.|sq0[a-z]{3}-|lin_api_|nvapi-|gsk_|r8_|tvly-|figd_|dapi)/;
const AWS_KEY_ID = /^(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}$/;
/** What keys are written with; a slash is of base64 and of paths, so a run is looked at whole and in its pieces. */
const RUN = /[A-Za-z0-9+_=~.-]+(?:\/[A-Za-z0-9+_=~.-]+)*/g;
const PEM = /-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*/g;
const SHORTEST_CHARS = 16;

/** `text` with `MASKED` in place of whatever in it looks like a secret. */
export function masked(text: string): string {
  if (text.length < SHORTEST_CHARS) return text;
  return text
    .replace(PEM, MASKED)
    .replace(RUN, (run) => (isSecretLike(run) ? MASKED : run.split("/").map(maskedPiece).join("/")));
}

/** For names, which are written to logs and labels as they are: certain enough to refuse a config for it. */
export function isIssuedKey(text: string): boolean {
  if (text.length < SHORTEST_CHARS) return false;
  if (AWS_KEY_ID.test(text)) return true;
  const prefix = ISSUED.exec(text)?.[0];
  if (prefix === undefined) return false;
  const rest = text.slice(prefix.length);
  return rest.length >= SHORTEST_CHARS && mixture(rest) >= rest.length / 6;
}

function maskedPiece(piece: string): string {
  return isSecretLike(piece) ? MASKED : piece;
}

function isSecretLike(text: string): boolean {
  return isIssuedKey(text) || (text.length >= SHORTEST_CHARS && mixture(text) >= text.length / 4);
}

/**
 * How often a letter stands beside a digit, or a capital behind a small letter. A random key of n letters and digits has about
 * 0.45 n of these, hexadecimal as well; names that people give have few.
 */
function mixture(text: string): number {
  let changes = 0;
  let before = "";
  for (const character of text) {
    const kind = kindOf(character);
    const changed = kind !== before && kind !== "" && before !== "";
    if (changed && (kind === "digit" || before === "digit" || kind === "capital")) changes++;
    before = kind;
  }
  return changes;
}

function kindOf(character: string): "" | "digit" | "small" | "capital" {
  if (character >= "0" && character <= "9") return "digit";
  if (character >= "a" && character <= "z") return "small";
  return character >= "A" && character <= "Z" ? "capital" : "";
}
