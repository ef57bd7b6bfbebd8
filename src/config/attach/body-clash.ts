import type { AttachmentSpec } from "../../core/destination.ts";
import type { BodyPlace } from "../../core/signing.ts";
import type { Path } from "../problem.ts";
import type { Report } from "../report.ts";

/** The places in one body: of one kind, and none inside of another. */
export class BodyClash {
  readonly #report: Report;
  readonly #places: BodyPlace[] = [];

  constructor(report: Report) {
    this.#report = report;
  }

  add(spec: AttachmentSpec, path: Path): void {
    if (spec.as !== "body") return;
    const { place } = spec;
    if (this.#places.some((other) => other.in !== place.in))
      this.#report.add(path, "a body is JSON or a form, never both: write a destination of its own for one of them");
    else if (this.#places.some((other) => isInside(other, place) || isInside(place, other)))
      this.#report.add([...path, "pointer"], "lies inside of another `body` attachment's place: keep one of them");
    this.#places.push(place);
  }
}

/** The same place is told by its name. */
function isInside(inner: BodyPlace, outer: BodyPlace): boolean {
  if (inner.in !== "json" || outer.in !== "json" || inner.pointer.length <= outer.pointer.length) return false;
  return outer.pointer.every((token, i) => inner.pointer[i] === token);
}
