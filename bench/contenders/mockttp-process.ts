import "./patient-servers.ts";
import { getLocal } from "mockttp";
import { INJECTED_AUTHORIZATION } from "../wire/fixtures.ts";

/**
 * The process of the contender: `PORT CA CA_KEY`. It has no say before TLS: what no rule names is refused
 * inside. One rule by pattern stands for the allow-list, since a rule a name would be searched one by one.
 */

const [port, certPath = "", keyPath = ""] = process.argv.slice(2);

const server = getLocal({ https: { certPath, keyPath }, http2: true, recordTraffic: false, cors: false });
await server.start(Number(port));
await server
  .forAnyRequest()
  .withUrlMatching(/^https?:\/\/(api-\d+|plain|live|h2)\.bench\.test:/)
  .always()
  .thenPassThrough({
    transformRequest: { updateHeaders: { authorization: INJECTED_AUTHORIZATION } },
  });
await server.forUnmatchedRequest().thenReply(403, "denied");
