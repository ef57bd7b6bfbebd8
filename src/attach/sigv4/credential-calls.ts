import type { OutboundHead } from "../../core/exchange.ts";
import { percentDecode } from "../percent.ts";
import { servicePath } from "./canonical.ts";
import { unsupported } from "./guest-signature.ts";
import { separatorsIn, valuesIn } from "./query-auth.ts";
import { isS3 } from "./s3.ts";

/**
 * Calls whose answer is a credential: signed for a guest, they would hand it what the edge exists to keep from it. The list
 * covers what AWS documents today; what the role may do is its policy's to say.
 */

/** Of `sts` everything but these hands out credentials, or may tomorrow. */
const HARMLESS_OF_STS: ReadonlySet<string> = new Set([
  "getcalleridentity",
  "getaccesskeyinfo",
  "decodeauthorizationmessage",
]);

/** By operation name, lower case, whichever service has it. */
const HANDS_OUT_CREDENTIALS: ReadonlySet<string> = new Set([
  "assumerole",
  "assumerolewithsaml",
  "assumerolewithwebidentity",
  "assumeroot",
  "createaccesskey",
  "createservicespecificcredential",
  "createtoken",
  "getauthorizationtoken",
  "getclustercredentials",
  "getclustercredentialswithiam",
  "getclustersessioncredentials",
  "getcredentials",
  "getcredentialsforidentity",
  "getdataaccess",
  "getdelegatedaccesstoken",
  "getfederationtoken",
  "getmanagedendpointsessioncredentials",
  "getopenidtoken",
  "getopenidtokenfordeveloperidentity",
  "getrolecredentials",
  "getsessiontoken",
  "gettemporarydatalocationcredentials",
  "gettemporarygluepartitioncredentials",
  "gettemporarygluetablecredentials",
  "getwebidentitytoken",
  "resetservicespecificcredential",
]);

/** Where a REST service has them, as the path reads once it is decoded and without empty or dot segments. */
const PATHS: Readonly<Record<string, RegExp>> = Object.assign(Object.create(null) as Record<string, RegExp>, {
  s3: /^\/v20180820\/accessgrantsinstance\/dataaccess$/i,
  codeartifact: /^\/v1\/authorization-token$/i,
  rolesanywhere: /^\/sessions$/i,
  lakeformation: /^\/gettemporary/i,
  "emr-containers": /\/credentials$/i,
  datazone: /\/credentials$/i,
});

/** Smithy's RPC v2, by which more and more of the services can be called as well. */
const CALL_IN_PATH = /\/service\/[^/]+\/operation\/([^/]+)$/i;

/** Its operations are the customer's own, whatever they are called. */
const OWN_API = "execute-api";

/** Services that name the operation in a form: in the query, or in a body that has to be read for it. */
const QUERY_PROTOCOL: ReadonlySet<string> = new Set(["sts", "iam", "redshift"]);

/** More parameters than any such call has. */
const MOST_PARAMETERS = 1000;

/** Whether the body has to be held to know what is called. */
export function namesCallInBody(service: string): boolean {
  return QUERY_PROTOCOL.has(service);
}

/**
 * Refuses what shows in the head.
 * @throws Denial `signing_unsupported`
 */
export function refuseCredentialCall(
  service: string,
  { target, fields }: Pick<OutboundHead, "target" | "fields">,
): void {
  if (isS3(service) && valuesIn(target, "session").length > 0) throw handsOut("CreateSession");
  const path = readPath(target);
  if (PATHS[service]?.test(path) === true) throw handsOut(path);
  if (isS3(service) || service === OWN_API) return;
  const operations = fields.all("x-amz-target").map((value) => value.slice(value.lastIndexOf(".") + 1));
  operations.push(...valuesIn(target, "action"));
  const called = CALL_IN_PATH.exec(path)?.[1];
  if (called !== undefined) operations.push(called);
  for (const operation of operations) {
    if (HANDS_OUT_CREDENTIALS.has(operation.toLowerCase())) throw handsOut(operation);
  }
}

/** The path as a lenient service reads it. */
function readPath(target: string): string {
  const mark = target.indexOf("?");
  return servicePath(percentDecode(mark < 0 ? target : target.slice(0, mark))).replace(/\/$/, "");
}

/**
 * Refuses what only the body shows, for services of the query protocol: the one action has to be found.
 * @param body whole
 * @throws Denial `signing_unsupported`
 */
export function refuseCredentialForm(
  service: string,
  head: Pick<OutboundHead, "target" | "fields">,
  body: Buffer,
): void {
  const isForm = !head.fields.has("smithy-protocol") && !CALL_IN_PATH.test(readPath(head.target));
  if (!isForm || head.fields.has("x-amz-target") || head.fields.has("content-encoding"))
    throw unsupported(`a call of ${service} that is no plain form`);
  const form = `?${body.toString("latin1")}`;
  if (separatorsIn(form) > MOST_PARAMETERS) throw unsupported(`a form with more than ${MOST_PARAMETERS} fields`);
  const [action, ...more] = [...valuesIn(head.target, "action"), ...valuesIn(form, "action")];
  if (action === undefined || more.length > 0) throw unsupported(`a call of ${service} without one Action`);
  const isHarmless =
    service === "sts" ? HARMLESS_OF_STS.has(action.toLowerCase()) : !HANDS_OUT_CREDENTIALS.has(action.toLowerCase());
  if (!isHarmless) throw handsOut(action);
}

function handsOut(operation: string): Error {
  const name = /^[A-Za-z0-9/-]{1,60}$/.test(operation) ? operation : "the call";
  return unsupported(
    `${name} hands out a credential: let a destination of its own make that call, or write credential_calls: accept`,
  );
}
