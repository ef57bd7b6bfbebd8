import { createHash } from "node:crypto";
import { Secret } from "../core/secret.ts";
import { OwnerLock } from "./owner-lock.ts";
import type { RotatingRoot } from "./rotating-root.ts";
import { type CredentialSource, SourceError } from "./sources/source.ts";
import type { SecretStore } from "./store/secret-store.ts";
import { StoreError } from "./store/store-error.ts";

/** One version of the entry, as it was read or written here. */
interface Known {
  readonly version: number;
  readonly digest: string;
  /** Not put there by somebody else while this one looked on: the version before is then the root before. */
  readonly isOwn: boolean;
}

/** A successor that is not known to be on the disk. */
interface Unwritten {
  readonly next: Secret;
  readonly digest: string;
  /** The version that it follows. */
  readonly after: number;
  /** That version is the root before; else it is this very successor, from a write that failed behind its rename. */
  readonly keepsPrevious: boolean;
}

/**
 * A rotating root in an entry of the encrypted store: the first one and its successors are versions of it. What anybody else writes to
 * the entry counts, also in the middle of an exchange: a successor follows the version that it came of, or is let go.
 */
export class RotatingStore implements RotatingRoot {
  readonly timeoutMs: number;
  /**
   * Tells roots that were put into the entry from those that follow from them. Another one ends what was minted before; one that
   * was rotated in does not. It is read for every lease, as a source is: without the entry there is nothing to lease.
   */
  readonly lineage: CredentialSource;
  readonly #name: string;
  readonly #store: SecretStore | null;
  #lock: OwnerLock | null = null;
  #known: Known | null = null;
  /** What the last `read` gave: what is written follows that one alone. */
  #given: Known | null = null;
  #unwritten: Unwritten | null = null;
  #roots = 0;
  /** Looks and writes take turns, so that nobody sees a version of ours before we know that it is. Never rejects. */
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param source reads the same entry; closed by its owner
   * @param store `null`: a reload named an entry of a store that this custody was started without
   */
  constructor(name: string, source: CredentialSource, store: SecretStore | null) {
    this.#name = name;
    this.#store = store;
    this.timeoutMs = source.timeoutMs + 5_000;
    this.lineage = {
      reference: source.reference,
      timeoutMs: source.timeoutMs,
      read: () => this.#inTurn(() => this.#readLineage()),
      close: () => undefined,
    };
  }

  read(): Promise<Secret> {
    return this.#inTurn(async () => {
      const isTaken = await this.#own();
      const secret = await this.#look();
      // Whoever owned it before has rotated it; what nobody saw happen counts as that.
      if (isTaken && this.#known !== null) this.#known = { ...this.#known, isOwn: true };
      const unwritten = this.#unwritten;
      if (unwritten === null) {
        this.#given = this.#known;
        return secret;
      }
      secret.zero();
      const next = copyOf(unwritten.next);
      await this.#write(unwritten);
      return next;
    });
  }

  rotate(next: Secret): Promise<void> {
    return this.#inTurn(async () => {
      const { version } = this.#held;
      this.#letGo();
      this.#unwritten = { next: copyOf(next), digest: digestOf(next), after: version, keepsPrevious: true };
      await this.#write(this.#unwritten);
    });
  }

  worked(): Promise<void> {
    return this.#inTurn(async () => {
      const given = this.#held;
      const previous = await this.#previous(given);
      previous?.zero();
      if (previous === null) return;
      const { version, secret } = await this.#opened.read(this.#name);
      try {
        // Where somebody else has put another one there, that one has not worked yet.
        if (version !== given.version) return;
        const next = await this.#opened.rotate(this.#name, secret, { ifVersion: version });
        this.#given = this.#known = { ...given, version: next };
      } catch (error) {
        if (!wasOverruled(error)) throw error;
      } finally {
        secret.zero();
      }
    });
  }

  previous(): Promise<Secret | null> {
    return this.#inTurn(() => this.#previous(this.#held));
  }

  close(): Promise<void> {
    return this.#inTurn(async () => {
      this.#letGo();
      this.#given = null;
      const lock = this.#lock;
      this.#lock = null;
      lock?.release();
    });
  }

  get #where(): string {
    return `store entry "${this.#name}"`;
  }

  get #held(): Known {
    if (this.#given === null) throw new SourceError(`${this.#where} is not open: ask again`);
    return this.#given;
  }

  get #opened(): SecretStore {
    if (this.#store === null)
      throw new SourceError(`${this.#where}: this custody was started without a store: restart it`);
    return this.#store;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return await turn;
  }

  async #readLineage(): ReturnType<CredentialSource["read"]> {
    const secret = await this.#look();
    secret.zero();
    return { username: null, secret: Secret.of(`root ${this.#roots}`), expiresAtMs: null };
  }

  /** The entry as it is now, and whether somebody else has written to it. */
  async #look(): Promise<Secret> {
    const { version, secret } = await this.#opened.read(this.#name);
    const digest = digestOf(secret);
    if (this.#unwritten?.digest === digest) {
      // It is there after all; that it stays is not said until it is written once more.
      this.#unwritten = { ...this.#unwritten, after: version, keepsPrevious: false };
      this.#known = { version, digest, isOwn: true };
    } else if (this.#known === null) {
      this.#known = { version, digest, isOwn: true };
    } else if (this.#known.digest === digest) {
      this.#known = { ...this.#known, version };
    } else {
      this.#letGo();
      this.#roots++;
      this.#known = { version, digest, isOwn: false };
    }
    return secret;
  }

  /** Makes a successor durable. One that has been overruled is let go; any other failure leaves it for the next `read`. */
  async #write({ next, digest, after, keepsPrevious }: Unwritten): Promise<void> {
    try {
      const options = { keepPrevious: keepsPrevious, ifVersion: after };
      const version = await this.#opened.rotate(this.#name, next, options);
      this.#given = this.#known = { version, digest, isOwn: true };
      this.#letGo();
    } catch (error) {
      if (wasOverruled(error)) {
        this.#letGo();
        throw new SourceError(
          `${this.#where} was changed while its root was being exchanged: what is there now counts: ask again`,
        );
      }
      const why = error instanceof StoreError ? error.message : "it cannot be written";
      throw new SourceError(`${this.#where}: do not stop this custody, which holds the only copy of its root: ${why}`);
    }
  }

  async #previous({ isOwn }: Known): Promise<Secret | null> {
    if (!isOwn) return null;
    return (await this.#opened.readPrevious(this.#name))?.secret ?? null;
  }

  #letGo(): void {
    this.#unwritten?.next.zero();
    this.#unwritten = null;
  }

  /**
   * One owner at a time; who has lost the name forgets what it knew. The file is named by a hash, as names are not readable in a store.
   * @returns whether this one is the owner only since now
   */
  async #own(): Promise<boolean> {
    if (this.#lock !== null && !(await this.#lock.isHeld())) {
      this.#letGo();
      this.#given = null;
      this.#lock.release();
      this.#lock = null;
      throw new SourceError(
        `${this.#where} was taken over by another custody: stop it, or give each an entry of its own`,
      );
    }
    if (this.#lock !== null) return false;
    const file = `${this.#opened.file}.${createHash("sha256").update(this.#name).digest("hex").slice(0, 32)}`;
    this.#lock = await OwnerLock.take(file, { what: this.#where, apart: "an entry of its own" });
    return true;
  }
}

/** Somebody else has changed or removed the entry. */
function wasOverruled(error: unknown): boolean {
  return error instanceof StoreError && (error.fault === "entry_changed" || error.fault === "entry_unknown");
}

function digestOf(secret: Secret): string {
  return createHash("sha256").update(secret.reveal()).digest("base64");
}

function copyOf(secret: Secret): Secret {
  return Secret.of(secret.reveal());
}
