import type { ByteBudget } from "../core/byte-budget.ts";
import { Denial } from "../core/denial.ts";
import { Fields } from "../core/fields.ts";
import { HeldBytes } from "../core/held-bytes.ts";
import type { AnswerHead, BodySink, GuestExchange } from "../core/wire.ts";
import { WholeBody } from "../core/whole-body.ts";

/**
 * Takes a request body in whole, for attachments that must know it before the head is written. Where the guest waits for leave
 * to send it, leave is given: nothing is asked of the upstream before.
 * @param mostBytes more than that is refused, by what the head says where it says something
 * @param owner whose share of the budget it is; `release` gives it back
 * @throws Denial `body_too_large`, `body_buffer_full`, or what broke the body off
 */
export async function holdBody(
  guest: GuestExchange,
  mostBytes: number,
  budget: ByteBudget,
  owner: string,
): Promise<Held> {
  const { length, expectContinue } = guest.body;
  if (length === "none") return { body: new WholeBody(NOTHING), release: () => undefined };
  if (typeof length === "number" && length > mostBytes) throw tooLarge(mostBytes);
  const holder = new Holder(mostBytes, budget, owner);
  try {
    guest.body.start(holder);
    // Behind the start: leave ends the wait for it, and from there on a guest that sends nothing is late.
    if (expectContinue && !holder.isOver) guest.interim(CONTINUE);
    return { body: await holder.whole, release: () => holder.release() };
  } catch (thrown) {
    holder.release();
    throw thrown;
  }
}

export interface Held {
  readonly body: WholeBody;
  /** The exchange is over. */
  readonly release: () => void;
}

const NOTHING = Buffer.alloc(0);
/** RFC 9110 §15.2.1. */
const CONTINUE: AnswerHead = {
  status: 100,
  reason: "Continue",
  fields: Fields.of([]),
  length: "none",
};

class Holder implements BodySink {
  readonly whole: Promise<WholeBody>;
  readonly #mostBytes: number;
  readonly #budget: ByteBudget;
  readonly #held: HeldBytes;
  #resolve!: (body: WholeBody) => void;
  #reject!: (denial: Denial) => void;
  #failed = false;
  #ended = false;

  constructor(mostBytes: number, budget: ByteBudget, owner: string) {
    this.#mostBytes = mostBytes;
    this.#budget = budget;
    this.#held = new HeldBytes(mostBytes, budget, owner);
    this.whole = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Nothing more is wanted: all of it has come, or it will not be taken. */
  get isOver(): boolean {
    return this.#ended || this.#failed;
  }

  bodyData(chunk: Buffer): void {
    if (this.#failed) return;
    if (this.#held.length + chunk.length > this.#mostBytes) this.#fail(tooLarge(this.#mostBytes));
    else if (!this.#held.add(chunk))
      this.#fail(new Denial("body_buffer_full", { cause: `${this.#budget.heldBytes} bytes are held` }));
  }

  bodyEnd(trailers: Fields | null): void {
    if (this.#failed) return;
    this.#ended = true;
    this.#resolve(new WholeBody(this.#held.bytes, trailers));
  }

  bodyFlush(): boolean {
    // What comes after a failure is read no further: the refusal closes the connection.
    return !this.#failed;
  }

  bodyBroken(denial: Denial): void {
    this.#fail(denial);
  }

  release(): void {
    this.#held.release();
  }

  #fail(denial: Denial): void {
    this.#failed = true;
    this.#reject(denial);
  }
}

function tooLarge(mostBytes: number): Denial {
  return new Denial("body_too_large", { cause: `the body has more than ${mostBytes} bytes` });
}
