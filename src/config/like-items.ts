import { load, YAMLException } from "js-yaml";

/** What every item has, and what is its own where all else is alike. */
interface Named {
  readonly name: string;
  readonly host: string;
}

/** How the items of a list are held to its schema; `null`: against it. */
export interface ItemSchema<Item extends Named> {
  item(value: unknown): Item | null;
  own(value: Named): Named | null;
}

/**
 * One line of an item, alone on it and without a comment: a plain scalar that is a text under every schema of YAML (a letter
 * first, or four numbers; none of the words that stand for something else), or a quoted one without escapes.
 */
const value =
  /(?!(?:true|false|null|yes|no|on|off|y|n)\r?$)[a-z][a-z0-9._-]*|[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+(?:\/[0-9]+)?|"[a-z0-9.*:/_-]+"/
    .source;
const NAME = new RegExp(`^(?: *- +| +)name: (${value})\\r?$`, "im");
const HOST = new RegExp(`^(?: *- +| +)host: (${value})\\r?$`, "im");

/** As good as no list has more ways of saying something; one that has costs what it costs, and no more memory than this. */
const MOST_SHAPES = 1000;

/**
 * Reads the items of a long list one by one. A long list says the same few things of thousands of hosts, and what two items say
 * beside their name and host is read once: 100,000 items of one kind take a tenth of the time.
 *
 * Why that is the same value: the texts of the two lines are replaced by words that stand nowhere else, and that text is read
 * by the parser. Where both come back as the name and the host of the item, those lines are what they look like (not a line of a
 * block scalar, of a quoted text or of a nested mapping), and any other plain word there would have come back as well.
 */
export class LikeItems<Item extends Named> {
  readonly #schema: ItemSchema<Item>;
  /** By text; `null` where the lines are not what they look like. */
  readonly #shapes = new Map<string, Item | null>();
  readonly #nameWord = `n${crypto.randomUUID()}`;
  readonly #hostWord = `h${crypto.randomUUID()}`;

  constructor(schema: ItemSchema<Item>) {
    this.#schema = schema;
  }

  /**
   * @param text of one item, as `LongList.items` has it
   * @returns the item; what it has in common with another of its kind is one and the same object; `null` where it is against the schema
   * @throws YAMLException where the text is not plain
   */
  read(text: string): Item | null {
    const name = NAME.exec(text);
    const host = HOST.exec(text);
    if (name === null || host === null) return this.#schema.item(only(text));
    const shape = this.#shapeOf(withWords(text, [name, this.#nameWord], [host, this.#hostWord]));
    if (shape === null) return this.#schema.item(only(text));
    const own = this.#schema.own({ name: plain(name), host: plain(host) });
    return own === null ? null : { ...shape, ...own };
  }

  #shapeOf(text: string): Item | null {
    const known = this.#shapes.get(text);
    if (known !== undefined) return known;
    const item = this.#schema.item(only(text));
    const shape = item?.name === this.#nameWord && item.host === this.#hostWord ? item : null;
    if (this.#shapes.size < MOST_SHAPES) this.#shapes.set(text, shape);
    return shape;
  }
}

/** The text with each line's value replaced. */
function withWords(text: string, one: [RegExpExecArray, string], other: [RegExpExecArray, string]): string {
  const [[first, firstWord], [second, secondWord]] = one[0].index < other[0].index ? [one, other] : [other, one];
  return (
    text.slice(0, valueStart(first)) +
    firstWord +
    text.slice(valueEnd(first), valueStart(second)) +
    secondWord +
    text.slice(valueEnd(second))
  );
}

function valueStart(line: RegExpExecArray): number {
  return valueEnd(line) - (line[1] as string).length;
}

function valueEnd(line: RegExpExecArray): number {
  return line.index + line[0].length - (line[0].endsWith("\r") ? 1 : 0);
}

function plain(line: RegExpExecArray): string {
  const text = line[1] as string;
  return text.startsWith('"') ? text.slice(1, -1) : text;
}

function only(text: string): unknown {
  const items = load(text, { maxAliases: 0 });
  if (!Array.isArray(items) || items.length !== 1) throw new YAMLException("an item of a list is no item");
  return items[0];
}
