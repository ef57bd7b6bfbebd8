import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { canonicalText, signedHeaders } from "../../../src/attach/sigv4/canonical.ts";
import { EMPTY_SHA256, SigningKey, signingKey } from "../../../src/attach/sigv4/signing-key.ts";
import { Fields } from "../../../src/core/fields.ts";
import type { Line } from "../exchange.ts";
import { type AwsKeys, S3_KEYS, S3_TIME, SUITE_KEYS, SUITE_TIME } from "./exchange.ts";

/** The signatures that AWS publishes, and cases made after its suite. */

const suiteKey = new SigningKey(SUITE_KEYS.secretAccessKey, { region: "us-east-1", service: "service" });
const s3Key = new SigningKey(S3_KEYS.secretAccessKey, { region: "us-east-1", service: "s3" });
const HOST: Line = ["Host", "example.amazonaws.com"];
const DATE: Line = ["X-Amz-Date", "20150830T123600Z"];
const all = (): boolean => true;

test("the signing key of a day, a region and a service", () => {
  const made = ({ secretAccessKey }: AwsKeys): string =>
    signingKey(secretAccessKey, "20120215", { region: "us-east-1", service: "iam" }).toString("hex");
  expect(made(S3_KEYS)).toBe("004aa806e13dae88b9032d9261bcb04c67d023afadd221e6b0d206e1760e0b5e");
  expect(made(SUITE_KEYS)).toBe("f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d");
});

test("get-vanilla", () => {
  const request = {
    method: "GET",
    target: "/",
    headers: signedHeaders(Fields.of([HOST, DATE]), all),
    payload: EMPTY_SHA256,
  };
  const signature = suiteKey.signRequest(suiteKey.stampAt(Date.parse(SUITE_TIME)), request, false);
  expect(signature).toBe("5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
});

describe("S3's own examples", () => {
  const stamp = s3Key.stampAt(Date.parse(S3_TIME));

  test("GET with a range", () => {
    const fields = Fields.of([
      ["Host", "examplebucket.s3.amazonaws.com"],
      ["Range", "bytes=0-9"],
      ["x-amz-content-sha256", EMPTY_SHA256],
      ["x-amz-date", "20130524T000000Z"],
    ]);
    const request = { method: "GET", target: "/test.txt", headers: signedHeaders(fields, all), payload: EMPTY_SHA256 };
    expect(s3Key.signRequest(stamp, request, true)).toBe(
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
  });

  test("a presigned GET", () => {
    const query =
      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
      "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host";
    const headers = signedHeaders(Fields.of([["Host", "examplebucket.s3.amazonaws.com"]]), all);
    const request = { method: "GET", target: `/test.txt?${query}`, headers, payload: "UNSIGNED-PAYLOAD" };
    expect(s3Key.signRequest(stamp, request, true)).toBe(
      "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    );
  });

  test("a PUT in chunks: the seed, and each chunk from the one before", () => {
    const fields = Fields.of([
      ["Host", "s3.amazonaws.com"],
      ["x-amz-date", "20130524T000000Z"],
      ["x-amz-storage-class", "REDUCED_REDUNDANCY"],
      ["x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"],
      ["Content-Encoding", "aws-chunked"],
      ["x-amz-decoded-content-length", "66560"],
      ["Content-Length", "66824"],
    ]);
    const request = {
      method: "PUT",
      target: "/examplebucket/chunkObject.txt",
      headers: signedHeaders(fields, all),
      payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    };
    const seed = s3Key.signRequest(stamp, request, true);
    expect(seed).toBe("4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9");
    const first = s3Key.signChunk(stamp, seed, Buffer.alloc(65_536, "a"));
    expect(first).toBe("ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648");
    const second = s3Key.signChunk(stamp, first, Buffer.alloc(1024, "a"));
    expect(second).toBe("0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497");
    expect(s3Key.signChunk(stamp, second, Buffer.alloc(0))).toBe(
      "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    );
  });
});

describe("canonical requests of the suite's kinds", () => {
  const canonical = (target: string, lines: readonly Line[] = [], isS3 = false): string[] => {
    const headers = signedHeaders(Fields.of(lines), all);
    return canonicalText({ method: "GET", target, headers, payload: EMPTY_SHA256 }, isS3).split("\n");
  };

  test.each([
    ["the root", "/", "/"],
    ["a relative step", "/example/..", "/"],
    ["two relative steps", "/example1/example2/../..", "/"],
    ["a dot", "/./", "/"],
    ["a dot before a name", "/./example", "/example"],
    ["slashes", "//", "/"],
    ["slashes around a name", "//example//", "/example/"],
    ["above the root", "/../../a", "/a"],
    ["an encoded blank, encoded again", "/example%20space/", "/example%2520space/"],
    ["UTF-8, encoded again", "/%E1%88%B4", "/%25E1%2588%25B4"],
    ["unreserved characters", "/-._~0123456789aZ", "/-._~0123456789aZ"],
    ["others that came as they are", "/a:b@c!$&'()*+,=", "/a%3Ab%40c%21%24%26%27%28%29%2A%2B%2C%3D"],
  ])("path of a service: %s", (_, target, path) => {
    expect(canonical(target)[1]).toBe(path);
  });

  test.each([
    ["nothing is normalised", "/a//b/../c/./d/", "/a//b/../c/./d/"],
    ["encoded once", "/photos%20of%20me/caf%C3%A9", "/photos%20of%20me/caf%C3%A9"],
    ["lower-case escapes", "/caf%c3%a9", "/caf%C3%A9"],
    ["escapes that needed none", "/%7Euser/%61", "/~user/a"],
    ["characters that needed one", "/a(1)!'*@:+", "/a%281%29%21%27%2A%40%3A%2B"],
    ["an encoded slash is no slash", "/a%2fb", "/a%2Fb"],
  ])("path of S3: %s", (_, target, path) => {
    expect(canonical(target, [], true)[1]).toBe(path);
  });

  test.each([
    ["none", "/", ""],
    ["an empty one", "/?", ""],
    ["order by name", "/?Param2=value2&Param1=value1", "Param1=value1&Param2=value2"],
    ["order by value", "/?P=b&P=a&P=", "P=&P=a&P=b"],
    ["order by encoded name, case apart", "/?b=1&B=2&a=3", "B=2&a=3&b=1"],
    ["a prefix of another name comes first", "/?ab=1&a=2", "a=2&ab=1"],
    ["no equals sign", "/?acl", "acl="],
    ["a second one belongs to the value", "/?a=b=c", "a=b%3Dc"],
    ["encoded strictly", "/?%61=%7e&x=a/b:c", "a=~&x=a%2Fb%3Ac"],
    ["a plus is no blank", "/?a=1+1", "a=1%2B1"],
    ["UTF-8", "/?%e1%88%b4=bar", "%E1%88%B4=bar"],
    ["empty parameters", "/?&a=1&&", "a=1"],
    ["a percent sign that escapes nothing", "/?a=%zz", "a=%25zz"],
  ])("query: %s", (_, target, query) => {
    expect(canonical(target)[2]).toBe(query);
  });

  test.each<[string, readonly Line[], string, string]>([
    [
      "duplicates in order",
      [
        ["My-1", "v2"],
        ["my-1", "v1"],
      ],
      "my-1:v2,v1",
      "my-1",
    ],
    [
      "trimmed and squeezed",
      [
        ["My-1", "a   b \t c"],
        ["My-2", '"a   b"'],
      ],
      'my-1:a b c\nmy-2:"a b"',
      "my-1;my-2",
    ],
    [
      "sorted by lower-case name",
      [
        ["Zoo", "1"],
        ["apple", "2"],
        ["Ape", "3"],
      ],
      "ape:3\napple:2\nzoo:1",
      "ape;apple;zoo",
    ],
    ["an empty value", [["My-1", ""]], "my-1:", "my-1"],
    ["a last byte that only looks like a blank", [["My-1", "\u00c3\u00a0"]], "my-1:\u00c3\u00a0", "my-1"],
  ])("headers: %s", (_, lines, rendered, names) => {
    const { names: signed, lines: text } = signedHeaders(Fields.of(lines), all);
    expect(text).toBe(`${rendered}\n`);
    expect(signed).toBe(names);
  });

  test("the hash is of the bytes that are sent, not of the text they came from", () => {
    const text = canonicalText(
      {
        method: "GET",
        target: "/",
        headers: signedHeaders(Fields.of([["x-amz-meta-a", "caf\u00c3\u00a9"]]), all),
        payload: "",
      },
      true,
    );
    expect(Buffer.from(text, "latin1").includes(Buffer.from("café", "utf8"))).toBe(true);
    expect(createHash("sha256").update(Buffer.from(text, "latin1")).digest("hex")).toHaveLength(64);
  });
});
