/**
 * Tells fast that a text holds none of a set of words: it looks at four characters in every `stride`, where the stride is
 * so long that no word fits between two looks. The four are looked up in a small Bloom filter over all the fours at the end
 * of all the words (the idea of Wu and Manber's multi-pattern search). A "maybe" is then for a real search; a "no" is certain.
 * Letters are folded, so that it serves words that are looked for without regard to case.
 */
export class Sieve {
  readonly #stride: number;
  readonly #bits = new Uint32Array(TABLE_BITS >>> 5);

  /** @param words at least one, none shorter than four characters, which is the room for one look */
  constructor(words: readonly string[]) {
    const window = Math.min(LONGEST_WINDOW, ...words.map(({ length }) => length));
    this.#stride = window - GRAM + 1;
    for (const word of words) {
      // The end: beginnings (`eyJhbGci`, `ghp_`) are shared by many texts that are no secret of ours.
      for (let at = word.length - window; at + GRAM <= word.length; at++) this.#add(gramAt(word, at));
    }
  }

  mayHold(text: string): boolean {
    const last = text.length - GRAM;
    for (let at = 0; at <= last; at += this.#stride) {
      const gram = gramAt(text, at);
      if (this.#has(firstHash(gram)) && this.#has(secondHash(gram))) return true;
    }
    return false;
  }

  #add(gram: number): void {
    for (const bit of [firstHash(gram), secondHash(gram)]) {
      this.#bits[bit >>> 5] = (this.#bits[bit >>> 5] as number) | (1 << (bit & 31));
    }
  }

  #has(bit: number): boolean {
    return ((this.#bits[bit >>> 5] as number) & (1 << (bit & 31))) !== 0;
  }
}

const GRAM = 4;
/** Longer looks ahead are not worth a table that they would fill. */
const LONGEST_WINDOW = 64;
const TABLE_LOG2 = 15;
const TABLE_BITS = 1 << TABLE_LOG2;

/** Bit 5 is what tells an upper-case letter from a lower-case one. */
const FOLD = 0x20_20_20_20;

function gramAt(text: string, at: number): number {
  return (
    text.charCodeAt(at) |
    (text.charCodeAt(at + 1) << 8) |
    (text.charCodeAt(at + 2) << 16) |
    (text.charCodeAt(at + 3) << 24) |
    FOLD
  );
}

/** Multiplicative hashing: the high bits of a product with an odd constant depend on every bit of the factor. */
function firstHash(gram: number): number {
  return Math.imul(gram, 0x9e_37_79_b1) >>> (32 - TABLE_LOG2);
}

function secondHash(gram: number): number {
  return Math.imul(gram ^ (gram >>> 15), 0x85_eb_ca_6b) >>> (32 - TABLE_LOG2);
}
