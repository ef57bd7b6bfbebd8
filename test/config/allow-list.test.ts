import { expect, test } from "vitest";
import { AllowList } from "../../src/config/allow-list.ts";
import { CredentialBook } from "../../src/config/credential-book.ts";
import { destinationSchema, type RawDestination } from "../../src/config/destination-schema.ts";
import { FileSet } from "../../src/config/file-set.ts";
import { ParentBook } from "../../src/config/parent.ts";
import { Report } from "../../src/config/report.ts";

function rulesOf(...raws: readonly RawDestination[]): AllowList["rules"] {
  const [files, report, book] = [new FileSet("/"), new Report(), new CredentialBook([], new Set())];
  const parents = new ParentBook(new Map(), undefined, { book, listeners: [], admin: null, files, report });
  const list = new AllowList(book, parents, files, report);
  for (const raw of raws) list.add(raw);
  expect(report.findings).toEqual([]);
  return list.rules;
}

test("entries that share their `allow` and differ in anything else each get what they say", () => {
  const one = destinationSchema.parse({
    name: "a",
    host: "a.example.com",
    allow: [{ methods: ["GET"], paths: ["/**"] }],
  });
  const others: RawDestination[] = [
    { ...one, name: "b", host: "b.example.com", port: 8443 },
    { ...one, name: "c", host: "c.example.com", mode: "report" },
    { ...one, name: "d", host: "d.example.com", drop_headers: ["x-a"] },
    { ...one, name: "e", host: "10.0.0.1" },
  ];
  for (const raws of [[one, ...others], [...others, one], ...others.map((other) => [other, one])])
    expect(rulesOf(...raws)).toEqual(raws.flatMap((raw) => rulesOf(raw)));
});
