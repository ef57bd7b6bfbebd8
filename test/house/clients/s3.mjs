// AWS's SDK for JavaScript as a guest: put, get, list, multipart, presigned. Prints what came of each as JSON.
// Usage: node s3.mjs ENDPOINT ACCESS_KEY_ID
import { createHash } from "node:crypto";
import { Agent } from "node:https";
import { Agent as PlainAgent } from "node:http";
import { Readable } from "node:stream";
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const [endpoint, accessKeyId] = process.argv.slice(2);
const client = new S3Client({
  endpoint,
  region: "eu-central-1",
  forcePathStyle: true,
  maxAttempts: 1,
  credentials: { accessKeyId, secretAccessKey: "postern-stand-in" },
  requestHandler: {
    httpsAgent: new Agent({ keepAlive: true, proxyEnv: process.env }),
    httpAgent: new PlainAgent({ keepAlive: true, proxyEnv: process.env }),
  },
});
const Bucket = "bucket";
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");
const told = {};
const step = async (name, work) => {
  try {
    told[name] = await work();
  } catch (error) {
    told[name] = `${error.name} ${error.$metadata?.httpStatusCode ?? ""}: ${error.message}`;
  }
};
const bytesAt = async (Key) => {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }));
  return Buffer.from(await Body.transformToByteArray());
};

const ODD = "a b/ü+(1)~!*'&=@:,$.txt";
const LARGE = Buffer.alloc(700_000, "0123456789abcdef");

await step("put", async () => {
  await client.send(
    new PutObjectCommand({
      Bucket,
      Key: "small.txt",
      Body: "hello",
      Metadata: { a: "one   two" },
      ContentType: "text/plain",
    }),
  );
  return (await bytesAt("small.txt")).toString();
});
await step("odd", async () => {
  await client.send(new PutObjectCommand({ Bucket, Key: ODD, Body: "odd" }));
  return (await bytesAt(ODD)).toString();
});
await step("list", async () => {
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket, Prefix: "a b/ü+(1)" }));
  return Contents.map(({ Key }) => Key);
});
await step("stream", async () => {
  const Body = Readable.from([LARGE.subarray(0, 100_000), LARGE.subarray(100_000)]);
  await client.send(new PutObjectCommand({ Bucket, Key: "stream", Body, ContentLength: LARGE.length }));
  return sha256(await bytesAt("stream")) === sha256(LARGE);
});
await step("multipart", async () => {
  const Key = "parts";
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm: "CRC32" }));
  const Parts = [];
  for (const [i, Body] of [LARGE, Buffer.from("the end")].entries()) {
    const { ETag } = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: i + 1, Body }));
    Parts.push({ ETag, PartNumber: i + 1 });
  }
  await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));
  return sha256(await bytesAt(Key)) === sha256(Buffer.concat([LARGE, Buffer.from("the end")]));
});
await step("head", async () => (await client.send(new HeadObjectCommand({ Bucket, Key: "small.txt" }))).ContentLength);
await step("presigned_put", async () => {
  const url = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: "presigned (1)" }), { expiresIn: 3600 });
  return (await fetch(url, { method: "PUT", body: "by url" })).status;
});
await step("presigned_get", async () => {
  const command = new GetObjectCommand({ Bucket, Key: "presigned (1)", ResponseContentType: "text/x" });
  return (await fetch(await getSignedUrl(client, command, { expiresIn: 60 }))).text();
});
await step(
  "delete",
  async () => (await client.send(new DeleteObjectCommand({ Bucket, Key: "small.txt" }))).$metadata.httpStatusCode,
);
await step("gone", () => bytesAt("small.txt"));
process.stdout.write(JSON.stringify(told));
