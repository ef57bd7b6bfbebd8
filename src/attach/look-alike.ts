/**
 * Whether some upstream takes one name for the other: names are compared without regard to case (Go, .NET), in compatible
 * forms (the Kelvin sign is a `k` to Go), and up to a NUL (C), and blanks around them are cut.
 * @param said by a guest, of any length
 */
export function isLookAlike(said: string, name: string): boolean {
  const end = said.indexOf("\0");
  const text = (end < 0 ? said : said.slice(0, end)).trim();
  // No normal form is so much shorter than its text.
  if (text.length > name.length * 4) return false;
  return folded(text) === folded(name.trim());
}

function folded(text: string): string {
  return text.normalize("NFKC").toLowerCase().toUpperCase();
}
