import { describe, expect, test } from "vitest";
import { parseCustodyConfig } from "../../src/config/load.ts";
import { ALL, destination, edgeFile, messagesOf, problemsOf } from "./support/edge-file.ts";

/** Every way to get a config wrong gets one line that says where and what to write instead. */

const withDestination = (more: string): string => edgeFile({ destinations: destination(more) });
const withHost = (host: string): string =>
  edgeFile({ destinations: `destinations: [{ name: a, host: ${JSON.stringify(host)}, ${ALL} }]` });
const withListener = (listener: string, more = ""): string => edgeFile({ listeners: `listeners: [${listener}]`, more });
const withCredential = (credential: string): string =>
  edgeFile({ custody: `custody: { main: { embedded: { credentials: [${credential}] } } }` });
const attached = (attach: string, credential = "key"): string =>
  withDestination(`${ALL}, credential: ${credential}, attach: ${attach}`);
const CREDENTIAL = "custody.main.embedded.credentials[0]";
const LOCAL = "session: { mode: open }";

test("the base of these tests is right", () => {
  expect(problemsOf(edgeFile())).toEqual([]);
  expect(problemsOf(attached("{ as: bearer }"))).toEqual([]);
});

test("all problems are told at once, in the order of the file, with line and column", () => {
  const text = edgeFile({
    destinations: `destinations:
  - name: a
    host: Example.com
    prot: 443
    ${ALL}
  - name: a
    host: b.com:8080
    allow:
      - methods: [get]
        paths: [/v1/../v2]`,
    more: "limits: { head_bytes: 1 }\nlogs: {}",
  });
  expect(problemsOf(text)).toEqual([
    '14:11: destinations[0].host: "Example.com": write "example.com"',
    '15:5: destinations[0].prot: unknown key: write "port"',
    '17:11: destinations[1].name: "a": destinations[0] has this name: write a different one',
    '18:11: destinations[1].host: "b.com:8080": write "b.com", and port: 8080',
    '20:19: destinations[1].allow[0].methods[0]: "get": write "GET"',
    '21:17: destinations[1].allow[0].paths[0]: "/v1/../v2": write the path without dot segments',
    "22:23: limits.head_bytes: 1: write a value of at least 1024",
    '23:1: logs: unknown key: write "log"',
  ]);
});

test("the config of the other process is called so, once", () => {
  const custody = "listen: { address: unix:c.sock }\ncredentials: []\naudit: { file: a.jsonl }";
  expect(problemsOf(custody)).toEqual([
    "1:1: this is the config of a custody process: `postern custody --config FILE` runs it, `postern check --custody --config FILE` checks it",
  ]);
  const loaded = parseCustodyConfig(edgeFile(), "custody.yaml", "/etc/postern");
  expect(loaded.ok ? [] : loaded.problems.map(({ message }) => message)).toEqual([
    "this is the config of an edge: `postern serve --config FILE` runs it, `postern check --config FILE` checks it; for the store of its embedded custody `postern custody secret` wants --custody NAME",
  ]);
  // With a key of its own it is what it was taken for, with faults.
  expect(problemsOf(`${custody}\nlisteners: []`).length).toBeGreaterThan(1);
});

describe("an entry of the catalogue", () => {
  const fields = { name: "a", kind: "token", source: { env: "A" } as unknown, hosts: ["a.com:443"] };
  const messageOf = (change: Partial<typeof fields>) => {
    const text = JSON.stringify({
      listen: { address: "unix:c.sock" },
      audit: { file: "a.jsonl" },
      credentials: [{ ...fields, ...change }],
    });
    const loaded = parseCustodyConfig(text, "custody.yaml", "/etc/postern");
    return loaded.ok ? [] : loaded.problems.map(({ path, message }) => `${path}: ${message}`);
  };

  test.each([
    ["bearer", "token"],
    ["basic", "userpass"],
    ["sigv4", "aws"],
    ["hmac", "signing_key"],
  ])("of kind %s was meant to be of kind %s", (kind, meant) => {
    expect(messageOf({ kind })).toEqual([
      `credentials[0].kind: "${kind}": write "${meant}": how it is attached stands at the destination, attach: { as: ${kind} }`,
    ]);
  });

  test.each(["a pasted secret", null, undefined, 4711])("says where its root is read, and not %j", (source) => {
    const [message, ...more] = messageOf({ source });
    expect(more).toEqual([]);
    expect(message).toMatch(/^credentials\[0\]\.source: (?:missing: |empty: )?write where it is read, such as \{ env/);
    expect(message).not.toMatch(/pasted|4711/);
  });
});

describe("the text", () => {
  const bomb = "bcdefghij"
    .split("")
    .map((name, i) => `${name}: &${name} [${Array.from({ length: 9 }, () => `*${"abcdefghij"[i]}`).join(", ")}]`);
  test.each([
    ["empty", "", "1:1: the file is empty: start from config/postern.example.yaml"],
    ["no mapping", "- a", "1:1: write a mapping"],
    ["two documents", `${edgeFile()}---\na: 1\n`, "1:1: more than one YAML document: write one, without `---` inside"],
    ["unclosed list", "a: [1\nb: 2\n", "2:1: not valid YAML: deficient indentation"],
    ["tab", "a:\n\tb: 1", "2:1: not valid YAML: tab characters must not be used in indentation"],
    ["duplicate key", edgeFile({ more: "ca: { certificate: a, key: b }" }), "13:1: ca: written twice: keep one"],
    ["alias of itself", "a: &a [*a]", "1:9: an alias of the value that it is in"],
    ["alias without anchor", "a: *x", "1:5: an alias without an anchor before it"],
    [
      "aliases of aliases",
      `a: &a [1, 2, 3]\n${bomb.join("\n")}`,
      "1:1: its aliases stand for too much: write the values out",
    ],
    ["tag", "a: !!binary xx", "1:4: not valid YAML: unknown scalar tag !<tag:yaml.org,2002:binary>"],
  ])("%s", (_, text, problem) => {
    expect(problemsOf(text)).toEqual([problem]);
  });

  test("every duplicate key is told, beside all else", () => {
    const text = edgeFile({
      more: "tls: { leaf_lifetime_hours: 0, leaf_lifetime_hours: 0 }\nca: { certificate: a, key: b }",
    });
    expect(problemsOf(text)).toEqual([
      "13:32: tls.leaf_lifetime_hours: written twice: keep one",
      "13:53: tls.leaf_lifetime_hours: 0: write a value of at least 1",
      "14:1: ca: written twice: keep one",
    ]);
  });

  test("aliases that are meant may be used", () => {
    const allow = "allow: &all [{ methods: [GET], paths: [/**] }]";
    const text = edgeFile({
      destinations: `destinations: [{ name: a, host: a.com, ${allow} }, { name: b, host: b.com, allow: *all }]`,
    });
    expect(problemsOf(text)).toEqual([]);
  });

  test("no more than 200 problems are listed, the others are counted", () => {
    const entries = Array.from({ length: 1000 }, (_, i) => `  - { name: d${i}, host: "*", ${ALL} }`);
    const found = problemsOf(edgeFile({ destinations: `destinations:\n${entries.join("\n")}` }));
    expect(found).toHaveLength(201);
    expect(found.at(-1)).toBe(" and 800 more: mend these first");
  });
});

describe("shape", () => {
  test.each([
    [edgeFile({ more: "listners: []" }), 'listners: unknown key: "listeners" is there already: take this out'],
    [edgeFile({ more: "limitz: {}" }), 'limitz: unknown key: write "limits"'],
    [edgeFile({ listeners: null }), "listeners: missing: write a list"],
    [edgeFile({ listeners: "listeners: []" }), "listeners: an empty list: write at least 1"],
    [edgeFile({ listeners: "listeners:" }), "listeners: empty: write a list"],
    [edgeFile({ more: "limits: { head_fields: x }" }), 'limits.head_fields: "x": write a whole number'],
    [edgeFile({ more: "limits: { connections: 1.5 }" }), "limits.connections: 1.5: write a whole number"],
    [
      edgeFile({ more: "timeouts: { tunnel_life_ms: 43200001 }" }),
      "timeouts.tunnel_life_ms: 43200001: write a value of at most 43200000",
    ],
    [edgeFile({ more: "log: { exchanges: yes }" }), 'log.exchanges: "yes": write true or false'],
    [withDestination("mode: enforc, " + ALL), 'destinations[0].mode: "enforc": write "enforce"'],
    [
      withDestination("allow: [{ methods: GET, paths: [/**] }]"),
      'destinations[0].allow[0].methods: "GET": write a list: [GET]',
    ],
    [
      withDestination("allow: [{ methods: [], paths: [/**] }]"),
      "destinations[0].allow[0].methods: an empty list: write at least 1",
    ],
    [edgeFile({ custody: "custody: { main: {} }" }), 'custody.main: write one of "embedded", "remote" in it'],
    [
      edgeFile({ custody: "custody: { main: { embeded: { credentials: [] } } }" }),
      'custody.main.embeded: unknown key: write "embedded"',
    ],
    [
      edgeFile({ custody: "custody: { a/b: { embedded: { credentials: [] } } }" }),
      'custody["a/b"]: not a name: write 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first',
    ],
  ])("%#: %s", (text, message) => {
    expect(messagesOf(text)).toEqual([message]);
  });
});

describe("listeners", () => {
  test.each([
    ["{ name: g, address: 3128, session: { mode: open } }", 'listeners[0].address: 3128: write text: "3128"'],
    [
      `{ name: g, address: "localhost:3128", ${LOCAL} }`,
      'listeners[0].address: "localhost:3128": names may resolve elsewhere: write 127.0.0.1:3128',
    ],
    [
      `{ name: g, address: "0.0.0.0:3128", ${LOCAL} }`,
      'listeners[0].session.mode: "open": everybody who reaches 0.0.0.0:3128 would be this session: listen on 127.0.0.1 or a unix socket, or write `allow_open_on_network: true`',
    ],
    [
      `{ name: g, address: "127.0.0.1:70000", ${LOCAL} }`,
      'listeners[0].address: "127.0.0.1:70000": write an address such as "127.0.0.1:3128", "[::1]:3128" or "unix:/path"',
    ],
    [
      `{ name: g, address: "unix:${"x".repeat(120)}", ${LOCAL} }`,
      "listeners[0].address: socket path of 133 bytes: write one of at most 103",
    ],
    [
      '{ name: g, address: "127.0.0.1:1", session: {} }',
      'listeners[0].session.mode: missing: write one of "open", "listener"',
    ],
    [
      '{ name: g, address: "127.0.0.1:1", session: { mode: listener, tenant: t } }',
      "listeners[0].session.id: missing: write text",
    ],
    [
      `{ name: g, address: "127.0.0.1:1", ${LOCAL} }, { name: h, address: "0.0.0.0:1", session: { mode: listener, tenant: t, id: i } }`,
      'listeners[1].address: "0.0.0.0:1": listener "g" has this address: write another port',
    ],
    [
      `{ name: g, address: "127.0.0.1:1", ${LOCAL} }, { name: g, address: "127.0.0.1:2", ${LOCAL} }`,
      'listeners[1].name: "g": another listener has this name: write a different one',
    ],
    [
      '{ name: g, address: "127.0.0.1:1", session: { mode: listener, tenant: t, id: i } }, { name: h, address: "127.0.0.1:2", session: { mode: listener, tenant: t, id: i } }',
      'listeners[1].session.id: "i": another listener has this session: write a different id',
    ],
  ])("%s", (listener, message) => {
    expect(messagesOf(withListener(listener))).toEqual([message]);
  });

  test.each([
    ["127.0.0.1:1", "", 'guests reach it as listener "g": write another port'],
    ["0.0.0.0:1", ", allow_network: true", 'guests reach it as listener "g": write another port'],
    [
      "10.0.0.1:2",
      "",
      "other machines can reach it: listen on 127.0.0.1 or a unix socket, or write `allow_network: true`",
    ],
  ])("admin at %s%s is refused", (address, more, why) => {
    const text = withListener(
      `{ name: g, address: "127.0.0.1:1", ${LOCAL} }`,
      `admin: { address: "${address}"${more} }`,
    );
    expect(messagesOf(text)).toEqual([`admin.address: "${address}": ${why}`]);
  });

  test.each([
    `{ name: g, address: "127.8.0.1:0", ${LOCAL} }, { name: h, address: "127.8.0.1:0", ${LOCAL} }`,
    `{ name: g, address: "[::1]:3128", ${LOCAL} }`,
    `{ name: g, address: "unix:guests.sock", ${LOCAL} }`,
    '{ name: g, address: "0.0.0.0:1", session: { mode: open, allow_open_on_network: true } }',
    '{ name: g, address: "0.0.0.0:1", session: { mode: listener, tenant: t, id: i, roles: [a] } }',
  ])("fine: %s", (listener) => {
    expect(messagesOf(withListener(listener))).toEqual([]);
  });
});

describe("how guests get to a listener", () => {
  const tcp = (more: string): string => withListener(`{ name: a, address: 127.0.0.1:1, ${more}, ${LOCAL} }`);
  const unix = (more: string): string => withListener(`{ name: a, address: unix:a.sock, ${more}, ${LOCAL} }`);
  const files = "certificate: a.crt, key: a.key";
  test.each([
    [tcp("protocol: sock5"), 'protocol: "sock5": write "socks5"'],
    [tcp("protocol: https"), 'protocol: "https": write "http", and certificate and key under `tls`'],
    [
      tcp(`protocol: socks5, tls: { ${files} }`),
      "tls: no client speaks SOCKS5 over TLS: take it out, or write `protocol: http`",
    ],
    [tcp("tls: { certificate: a.crt }"), "tls.key: missing: write the path of a file"],
    [tcp(`tls: { ${files}, clientca: b.crt }`), 'tls.clientca: unknown key: write "client_ca"'],
    [
      tcp(`tls: { ${files}, client_ca: b.crt }`),
      'tls.client_certificates: missing: write one of "required", "optional"',
    ],
    [
      tcp(`tls: { ${files}, client_certificates: required }`),
      "tls.client_ca: missing: write the PEM file of the roots that they must chain to",
    ],
    [
      tcp(`tls: { ${files}, client_ca: b.crt, client_certificates: wanted }`),
      'tls.client_certificates: "wanted": write one of "required", "optional"',
    ],
    [
      tcp("proxy_protocol: {}"),
      'proxy_protocol.from: missing: write "unix" for a unix socket, else a list such as [10.0.0.7]',
    ],
    [tcp("proxy_protocol: true"), "proxy_protocol: true: write a mapping such as { from: [10.0.0.7] }"],
    [tcp("tls: true"), "tls: true: write a mapping such as { certificate: edge.crt, key: edge.key }"],
    [
      tcp("proxy_protocol: { from: 10.0.0.7 }"),
      'proxy_protocol.from: "10.0.0.7": write "unix" for a unix socket, else a list such as [10.0.0.7]',
    ],
    [tcp("proxy_protocol: { from: [] }"), "proxy_protocol.from: an empty list: write at least 1"],
    [
      tcp("proxy_protocol: { from: unix }"),
      'proxy_protocol.from: "unix": 127.0.0.1:1 is no unix socket: write the addresses of the balancers',
    ],
    [
      unix("proxy_protocol: { from: [10.0.0.1] }"),
      "proxy_protocol.from: a unix socket knows no addresses: write from: unix",
    ],
    [
      tcp("proxy_protocol: { from: [10.0.0.1/8] }"),
      'proxy_protocol.from[0]: "10.0.0.1/8": write an address or a range without host bits, such as "10.0.0.0/24"',
    ],
    [
      tcp("proxy_protocol: { from: [balancer.internal] }"),
      'proxy_protocol.from[0]: "balancer.internal": write an address or a range without host bits, such as "10.0.0.0/24"',
    ],
    [tcp('socket: { mode: "0600" }'), "socket: 127.0.0.1:1 is no unix socket: take it out"],
    [unix("socket: { mode: 0660 }"), 'socket.mode: 660: write four octal digits in quotes, such as "0660"'],
    [unix("socket: { owner: 1000 }"), 'socket.owner: 1000: write numbers, user and group, such as "1000:1000"'],
    [unix('socket: { mode: "660" }'), 'socket.mode: "660": write four octal digits in quotes, such as "0660"'],
    [unix('socket: { mode: "0888" }'), 'socket.mode: "0888": write four octal digits in quotes, such as "0660"'],
    [unix('socket: { mode: "4777" }'), 'socket.mode: "4777": write four octal digits in quotes, such as "0660"'],
    [
      unix("socket: { owner: www-data }"),
      'socket.owner: "www-data": write numbers, user and group, such as "1000:1000"',
    ],
    [unix('socket: { owner: "1000" }'), 'socket.owner: "1000": write numbers, user and group, such as "1000:1000"'],
    [unix('socket: { owner: "4294967295:0" }'), 'socket.owner: "4294967295:0": write numbers of at most 4294967294'],
  ])("%s", (text, message) => {
    expect(messagesOf(text)).toEqual([`listeners[0].${message}`]);
  });

  test("all that is wrong with one is told at once", () => {
    const more = `protocol: socks5, tls: { ${files}, client_ca: c }, proxy_protocol: { from: unix }, socket: {}`;
    expect(messagesOf(tcp(more)).map((line) => line.split(": ")[0])).toEqual([
      "listeners[0].tls",
      "listeners[0].tls.client_certificates",
      "listeners[0].proxy_protocol.from",
      "listeners[0].socket",
    ]);
  });
});

describe("hosts", () => {
  test.each([
    ["*.Example.com", 'write "*.example.com"'],
    ["*.com", 'covers a whole top-level domain: write "*.example.com" or single hosts'],
    ["*", 'covers every host: name the hosts, or a domain as "*.example.com"'],
    ["a.*.com", 'a wildcard stands for whole labels at the front: write "*.example.com"'],
    ["*a.example.com", 'a wildcard stands for whole labels at the front: write "*.example.com"'],
    ["https://api.example.com/v1", 'write "api.example.com"'],
    ["api.example.com:443", 'write "api.example.com", and port: 443'],
    ["api.example.com.", 'write "api.example.com"'],
    ["bücher.example", 'write "xn--bcher-kva.example"'],
    ["[::1]", 'write "::1"'],
    ["FE80::1", 'write "fe80::1"'],
    ["::ffff:1.2.3.4", 'write "1.2.3.4"'],
    ["::ffff:10.0.0.0/104", 'write "10.0.0.0/8"'],
    ["010.0.0.1", "can be read as more than one address: write four decimal numbers"],
    ["127.1", "can be read as more than one address: write four decimal numbers"],
    ["0x7f000001", "can be read as more than one address: write four decimal numbers"],
    ["2130706433", "can be read as more than one address: write four decimal numbers"],
    ["１.２.３.４", "can be read as more than one address: write four decimal numbers"],
    ["10.0.0.1/8", 'has bits behind its prefix: write "10.0.0.0/8"'],
    ["10.0.0.0/33", "write a prefix of at most 32"],
    ["0.0.0.0/0", "covers every address: write the blocks that are meant"],
    ["1.2.3.4/32", 'write "1.2.3.4"'],
    ["fe80::1%eth0", 'write a name such as "api.example.com", an IP address or a CIDR block'],
    ["user@host", 'write a name such as "api.example.com", an IP address or a CIDR block'],
  ])("%s", (host, advice) => {
    expect(messagesOf(withHost(host))).toEqual([`destinations[0].host: ${JSON.stringify(host)}: ${advice}`]);
  });

  test.each([
    "api.example.com",
    "*.example.com",
    "localhost",
    "a_b.example.com",
    "10.0.0.0/8",
    "1.2.3.4",
    "2001:db8::/32",
    "::1",
  ])("fine: %s", (host) => {
    expect(messagesOf(withHost(host))).toEqual([]);
  });
});

describe("rules", () => {
  test.each([
    ["methods: [get], paths: [/**]", 'methods[0]: "get": write "GET"'],
    ["methods: [TRACE], paths: [/**]", 'methods[0]: "TRACE": never forwarded: leave it out'],
    ["methods: [CONNECT], paths: [/**]", 'methods[0]: "CONNECT": never forwarded: leave it out'],
    ['methods: ["*", GET], paths: [/**]', 'methods[0]: "*": stands alone: write ["*"]'],
    ["methods: [GET, GET], paths: [/**]", 'methods[1]: "GET": written twice: keep one'],
    ["methods: [GET], paths: [v1]", 'paths[0]: "v1": write "/v1"'],
    ["methods: [GET], paths: [/a//b]", 'paths[0]: "/a//b": write "/a/b"'],
    ["methods: [GET], paths: [/a/./b]", 'paths[0]: "/a/./b": write the path without dot segments'],
    [
      'methods: [GET], paths: ["/a?b=1"]',
      'paths[0]: "/a?b=1": a path ends before ? and #: write the query under `query:`',
    ],
    ["methods: [GET], paths: [/a%2fb]", 'paths[0]: "/a%2fb": write "/a%2Fb"'],
    ["methods: [GET], paths: [/%41]", 'paths[0]: "/%41": write "/A"'],
    ["methods: [GET], paths: [/100%]", 'paths[0]: "/100%": write % as %25'],
    ["methods: [GET], paths: [/a**]", 'paths[0]: "/a**": `**` stands for whole segments: write it between slashes'],
    ["methods: [GET], paths: [/ü]", 'paths[0]: "/ü": write "/%C3%BC"'],
    [
      "methods: [GET], paths: [/a;b]",
      'paths[0]: "/a;b": a path with \\ or ; can be read in more than one way: write it without',
    ],
    [
      "methods: [GET], paths: [/**], headers: { Accept: [a], accept: [b] }",
      'headers.accept: "accept": written twice: keep one',
    ],
    [
      'methods: [GET], paths: [/**], headers: { "x y": [a] }',
      'headers["x y"]: "x y": not a field name: write letters, digits and dashes, such as "x-api-key"',
    ],
  ])("%s", (allow, message) => {
    expect(messagesOf(withDestination(`allow: [{ ${allow} }]`))).toEqual([`destinations[0].allow[0].${message}`]);
  });

  test.each(["/**", "/v1/*/items", "/.well-known/openid", "/a:b@c!$&'()+,=", "/caf%C3%A9", "/a%2Fb"])(
    "fine: %s",
    (path) => {
      expect(messagesOf(withDestination(`allow: [{ methods: [GET], paths: [${JSON.stringify(path)}] }]`))).toEqual([]);
    },
  );

  test.each([
    ["port: 443", 'allow: missing: nothing would be allowed: write allow: [{ methods: [GET], paths: ["/**"] }]'],
    ["allow: []", 'allow: missing: nothing would be allowed: write allow: [{ methods: [GET], paths: ["/**"] }]'],
    [
      `tls: passthrough, ${ALL}`,
      "allow: cannot be applied inside of `tls: passthrough`: leave it out, or write `tls: inspect`",
    ],
    [
      "tls: passthrough, credential: key",
      "credential: cannot be applied inside of `tls: passthrough`: leave it out, or write `tls: inspect`",
    ],
    [
      "tls: passthrough, drop_headers: [x]",
      "drop_headers: cannot be applied inside of `tls: passthrough`: leave it out, or write `tls: inspect`",
    ],
    [
      "tls: passthrough, http: h2",
      "http: cannot be applied inside of `tls: passthrough`: leave it out, or write `tls: inspect`",
    ],
    [`http: h3, ${ALL}`, 'http: "h3": write one of "auto", "h1", "h2", "h2c": HTTP/3 is not spoken'],
    [`http: h2c, ${ALL}`, 'http: "h2c": is HTTP/2 without TLS: write `http: h2`, or `scheme: http`'],
    [`http: h2, scheme: http, ${ALL}`, 'http: "h2": is HTTP/2 over TLS: write `http: h2c`, or `scheme: https`'],
    [
      "tls: passthrough, scheme: http",
      'tls: "passthrough": scheme http has no TLS to pass: leave `tls` out, or write `scheme: https`',
    ],
    [
      `${ALL}, drop_headers: [Host]`,
      'drop_headers[0]: "Host": belongs to the connection, not to the request: write another field',
    ],
    [`${ALL}, addresses: [10.0.0.1/8]`, 'addresses[0]: "10.0.0.1/8": has bits behind its prefix: write "10.0.0.0/8"'],
    [`${ALL}, addresses: ["::/0"]`, 'addresses[0]: "::/0": covers every address: write the blocks that are meant'],
    [
      `${ALL}, trust: nope.pem`,
      "trust: /etc/postern/nope.pem cannot be read (ENOENT): name a readable file of PEM certificates",
    ],
  ])("%s", (more, message) => {
    expect(messagesOf(withDestination(more))).toContain(`destinations[0].${message}`);
  });

  test("two that match alike", () => {
    const text = edgeFile({
      destinations: `destinations: [{ name: a, host: a.com, ${ALL} }, { name: b, host: a.com, ${ALL} }, { name: c, host: a.com, port: 444, ${ALL} }]`,
    });
    expect(messagesOf(text)).toEqual([
      'destinations[1].host: "a.com": destinations[0] has this host, port and scheme: put the rules into one',
    ]);
  });

  test("inspected TLS needs a CA, plain http and pass-through do not", () => {
    const missing =
      "ca: missing: destinations with `tls: inspect` need a CA: run `postern ca init`, then write ca: { certificate: ..., key: ... }";
    expect(messagesOf(edgeFile({ ca: null, destinations: destination(ALL) }))).toEqual([missing]);
    expect(messagesOf(edgeFile({ ca: null, destinations: destination(`${ALL}, scheme: http`) }))).toEqual([]);
    expect(messagesOf(edgeFile({ ca: null, destinations: destination("tls: passthrough") }))).toEqual([]);
  });
});

describe("credentials", () => {
  test.each([
    [`${ALL}, credential: key`, "attach: missing: say how the credential is attached, such as attach: { as: bearer }"],
    [`${ALL}, attach: { as: bearer }`, "attach: nothing to attach: write `credential:` as well, or leave it out"],
    [
      `${ALL}, credential: kee, attach: { as: bearer }`,
      'credential: "kee": custody "main" holds no such credential: write "main/key"',
    ],
    [
      `${ALL}, credential: mian/key, attach: { as: bearer }`,
      'credential: "mian/key": unknown custody "mian": write "main/key"',
    ],
    [
      `${ALL}, scheme: http, port: 443, credential: key, attach: { as: bearer }`,
      "credential: would travel readable over http: write `scheme: https`, or accept it with `plain_http_credential: accept`",
    ],
    [
      `${ALL}, port: 8443, credential: key, attach: { as: bearer }`,
      'credential: credential "key" is not issued for api.example.com:8443: add "api.example.com:8443" to its hosts',
    ],
    [
      `${ALL}, plain_http_credential: accept`,
      "plain_http_credential: there is no credential to accept it for: leave it out",
    ],
  ])("%s", (more, message) => {
    expect(messagesOf(withDestination(more))).toEqual([`destinations[0].${message}`]);
  });

  test("a name alone means `main` or the only custody; of several it must be spelled", () => {
    const remote = "{ remote: { address: unix:c.sock } }";
    const use = destination(`${ALL}, credential: key, attach: { as: bearer }`);
    expect(messagesOf(edgeFile({ custody: `custody: { vault: ${remote} }`, destinations: use }))).toEqual([]);
    expect(messagesOf(edgeFile({ custody: `custody: { main: ${remote}, b: ${remote} }`, destinations: use }))).toEqual(
      [],
    );
    expect(messagesOf(edgeFile({ custody: `custody: { a: ${remote}, b: ${remote} }`, destinations: use }))).toEqual([
      'destinations[0].credential: "key": several custodies: write "a/key" or "b/key"',
    ]);
    expect(messagesOf(edgeFile({ custody: null, destinations: use }))).toEqual([
      'destinations[0].credential: "key": no custody is named: write one under `custody:`',
    ]);
  });

  test("a block of addresses gets no credential", () => {
    const text = edgeFile({
      destinations: `destinations: [{ name: a, host: 10.0.0.0/8, ${ALL}, credential: key, attach: { as: bearer } }]`,
    });
    expect(messagesOf(text)).toEqual([
      "destinations[0].credential: a credential goes to single hosts, not to a block: write one destination an address",
    ]);
  });

  test.each([
    [
      "{ name: a, kind: tokn, source: { env: X }, hosts: ['a.com:443'] }",
      [`${CREDENTIAL}.kind: "tokn": write "token"`],
    ],
    [
      "{ name: a, kind: token, source: { enc: X }, hosts: ['a.com:443'] }",
      [`${CREDENTIAL}.source.enc: unknown key: write "env"`],
    ],
    [
      "{ name: a, kind: token, source: { env: X, file: y }, hosts: ['a.com:443'] }",
      [`${CREDENTIAL}.source.file: does not go with "env": keep one of them`],
    ],
    [
      "{ name: a, kind: token, source: {}, hosts: ['a.com:443'] }",
      [`${CREDENTIAL}.source: write one of "env", "file", "exec", "store", "vault" in it`],
    ],
    [
      "{ name: a, kind: userpass, source: { env: X }, hosts: ['a.com:443'] }",
      [`${CREDENTIAL}.username: missing: kind userpass needs the user name that goes with the password`],
    ],
    [
      "{ name: a, kind: header, username: b, source: { env: X }, hosts: ['a.com:443'] }",
      [`${CREDENTIAL}.username: kind header has no user name: leave it out`],
    ],
    [
      "{ name: a, kind: token, source: { env: X }, hosts: ['a.com:443'], ttl_seconds: 901 }",
      [`${CREDENTIAL}.ttl_seconds: 901: write a value of at most 900`],
    ],
    [
      "{ name: a, kind: token, source: { env: X }, hosts: [a.com, '*.com:443', 'A.com:443', '*.1.2.3.4:443', '::1:443'] }",
      [
        `${CREDENTIAL}.hosts[0]: "a.com": has no port: write "a.com:443"`,
        `${CREDENTIAL}.hosts[1]: "*.com:443": write names below a domain, such as "*.example.com:443"`,
        `${CREDENTIAL}.hosts[2]: "A.com:443": write "a.com:443"`,
        `${CREDENTIAL}.hosts[3]: "*.1.2.3.4:443": write names below a domain, such as "*.example.com:443"`,
        `${CREDENTIAL}.hosts[4]: "::1:443": write host:port, such as "api.example.com:443"`,
      ],
    ],
  ])("%s", (credential, messages) => {
    expect(messagesOf(withCredential(credential))).toEqual(messages);
  });

  test("what may be a pasted secret is never shown", () => {
    const secret = "sk-live-REALSECRET";
    const texts = [
      withCredential(`{ name: a, kind: token, source: ${secret}, hosts: ['a.com:443'] }`),
      withCredential(`{ name: a, kind: token, source: { value: ${secret} }, hosts: ['a.com:443'] }`),
      attached(`{ as: placeholder, value: ${secret}, in: [header:authorization] }`),
      attached(`{ as: header, name: x-key, format: ${secret} }`),
      attached(`{ as: bearer, token: ${secret} }`),
    ];
    for (const text of texts) {
      expect(problemsOf(text)).not.toEqual([]);
      expect(problemsOf(text).join("\n")).not.toContain("REALSECRET");
    }
  });

  test("a custody over the network needs mutual TLS, over a socket a name", () => {
    const remote = (more: string): string => edgeFile({ custody: `custody: { main: { remote: { ${more} } } }` });
    const tls = "tls: { ca: a, certificate: b, key: c }";
    expect(messagesOf(remote("address: custody.internal:8443"))).toEqual([
      "custody.main.remote.tls: missing: leases cross the network: write tls: { ca: ..., certificate: ..., key: ... }",
    ]);
    expect(messagesOf(remote(`address: unix:c.sock, ${tls}`))).toEqual([
      "custody.main.remote.tls.server_name: missing: a socket path says no name: write the one in the custody's certificate",
    ]);
    expect(messagesOf(remote(`address: custody.internal:8443, ${tls}`))).toEqual([]);
  });
});

describe("attachments", () => {
  test.each([
    ["{ as: bearr }", "key", 'attach.as: "bearr": write "bearer"'],
    ["[]", "key", "attach: an empty list: write at least 1"],
    [
      "{ as: bearer }",
      "robot",
      'attach.as: credential "robot" is of kind userpass, bearer needs a token: write another `as:` or `kind: token`',
    ],
    [
      "{ as: bearer }",
      "value",
      'attach.as: credential "value" is of kind header, bearer needs a token: write another `as:` or `kind: token`',
    ],
    ["{ as: basic }", "key", 'attach: basic with a token needs a user name: write { as: basic, username: "..." }'],
    [
      "{ as: basic, username: x }",
      "robot",
      'attach.username: credential "robot" brings its own user name: leave this out',
    ],
    [
      "{ as: basic, username: 'a:b' }",
      "key",
      'attach.username: "a:b": write printable ASCII characters without a colon',
    ],
    [
      "{ as: header, name: Host }",
      "key",
      'attach.name: "Host": belongs to the connection, not to the request: write another field',
    ],
    [
      "{ as: header, name: Transfer-Encoding }",
      "key",
      'attach.name: "Transfer-Encoding": belongs to the connection, not to the request: write another field',
    ],
    [
      "{ as: header, name: Proxy-Authorization }",
      "key",
      'attach.name: "Proxy-Authorization": belongs to the connection, not to the request: write another field',
    ],
    ["{ as: header, name: Cookie }", "key", 'attach.name: write { as: cookie, name: "..." }'],
    [
      "{ as: header, name: x, format: plain }",
      "key",
      'attach.format: has no place for the credential: write it with {token}, such as "Token {token}"',
    ],
    [
      '{ as: header, name: x, format: "{token}\\r\\nHost: x" }',
      "key",
      "attach.format: write printable ASCII characters, no blank at either end",
    ],
    ["{ as: query, name: 'a&b' }", "key", 'attach.name: "a&b": write letters, digits and . _ ~ $ -'],
    [
      "{ as: query, name: k }",
      "robot",
      'attach.as: credential "robot" is of kind userpass, query needs a token: write another `as:` or `kind: token`',
    ],
    [
      "{ as: cookie, name: 'a;b' }",
      "key",
      'attach.name: "a;b": not a cookie name: write letters, digits, dashes or underscores',
    ],
    [
      "{ as: placeholder, value: sk-openai, in: [header:x] }",
      "key",
      'attach.value: write 16 to 200 letters, digits, ".", "_" or "-" with "postern-" inside, such as "sk-postern-openai"',
    ],
    [
      "{ as: placeholder, value: postern-x, in: [header:x] }",
      "key",
      'attach.value: write 16 to 200 letters, digits, ".", "_" or "-" with "postern-" inside, such as "sk-postern-openai"',
    ],
    [
      "{ as: placeholder, value: sk-postern-openai, in: [authorization] }",
      "key",
      'attach.in[0]: "authorization": write "header:<name>", "query:<key>" or "websocket:first"',
    ],
    [
      "{ as: placeholder, value: sk-postern-openai, in: [header:host] }",
      "key",
      'attach.in[0]: "host": belongs to the connection, not to the request: write another field',
    ],
    [
      "{ as: placeholder, value: sk-postern-openai, in: [query:k, query:k] }",
      "key",
      'attach.in[1]: "query:k": written twice: keep one',
    ],
    [
      "[{ as: bearer }, { as: basic, username: x }]",
      "key",
      "attach[1]: header authorization is written by the bearer attachment already: keep one of them",
    ],
    [
      "[{ as: header, name: X-Key }, { as: header, name: x-key }]",
      "key",
      "attach[1]: header x-key is written by the header attachment already: keep one of them",
    ],
    [
      "[{ as: placeholder, value: sk-postern-openai, in: [header:authorization] }, { as: bearer }]",
      "key",
      "attach[1]: header authorization is written by the placeholder attachment already: keep one of them",
    ],
    [
      "[{ as: cookie, name: a }, { as: placeholder, value: sk-postern-openai, in: [header:cookie] }]",
      "key",
      "attach[1]: header cookie is written by the cookie attachment already: keep one of them",
    ],
    [
      "[{ as: placeholder, value: sk-postern-openai, in: [header:x] }, { as: placeholder, value: sk-postern-openai-2, in: [header:x] }]",
      "key",
      "attach[1].value: another placeholder of header x is the same or part of it: write a different one",
    ],
  ])("%s of %s", (attach, credential, message) => {
    expect(messagesOf(attached(attach, credential))).toEqual([`destinations[0].${message}`]);
  });

  test.each([
    ["{ as: basic, username: x-access-token }", "key"],
    ["{ as: basic }", "robot"],
    ["{ as: header, name: x-api-key }", "value"],
    ['{ as: header, name: X-Both, format: "{username}/{password}" }', "robot"],
    ["[{ as: query, name: key }, { as: header, name: x-key }, { as: cookie, name: k }]", "key"],
    ["{ as: placeholder, value: sk-postern-openai, in: [header:Authorization, query:key] }", "key"],
  ])("fine: %s of %s", (attach, credential) => {
    expect(messagesOf(attached(attach, credential))).toEqual([]);
  });
});
